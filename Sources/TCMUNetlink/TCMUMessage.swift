import SystemPackage

/// The attributes of the TCM-USER family (enum tcmu_genl_attr, linux/target_core_user.h).
enum TCMUAttribute {
    /// TCMU_ATTR_DEVICE, string
    static let device: UInt16 = 1
    /// TCMU_ATTR_MINOR, u32
    static let minor: UInt16 = 2
    /// TCMU_ATTR_DEV_CFG, string
    static let configuration: UInt16 = 4
    /// TCMU_ATTR_DEV_SIZE, u64
    static let size: UInt16 = 5
    /// TCMU_ATTR_WRITECACHE, u8
    static let writeCache: UInt16 = 6
    /// TCMU_ATTR_CMD_STATUS, s32
    static let status: UInt16 = 7
    /// TCMU_ATTR_DEVICE_ID, u32
    static let deviceID: UInt16 = 8
    /// TCMU_ATTR_SUPP_KERN_CMD_REPLY, u8
    static let answersRequests: UInt16 = 9
}

/// The family's messages: bytes to events, answers to bytes. Pure; nothing here knows a socket.
enum TCMUMessage {
    /// The family's version that knows answers.
    static let version: UInt8 = 2
    /// TCMU_CMD_SET_FEATURES
    static let setFeatures: UInt8 = 7
    /// From TCMU_CMD_*_DEVICE to TCMU_CMD_*_DEVICE_DONE.
    static let doneOffset: UInt8 = 3

    /// The answer to a request: `status` is 0 or the negative of an errno.
    static func reply(to request: NetlinkRequest, status: Int32, family: UInt16, sequence: UInt32) -> [UInt8] {
        let payload = GenericNetlinkPayload(
            command: request.kind.rawValue + doneOffset, version: version,
            attributes: [
                NetlinkAttribute(type: TCMUAttribute.status, status),
                NetlinkAttribute(type: TCMUAttribute.deviceID, request.deviceID),
            ])
        return NetlinkMessage(
            type: family, flags: NetlinkFlag.request, sequence: sequence, payload: payload.encoded()
        ).encoded()
    }

    /// Tells the kernel, for all devices and until it is told otherwise, that its requests are answered. Acknowledged.
    static func answersRequests(family: UInt16, sequence: UInt32) -> [UInt8] {
        let payload = GenericNetlinkPayload(
            command: setFeatures, version: version,
            attributes: [NetlinkAttribute(type: TCMUAttribute.answersRequests, UInt8(1))])
        return NetlinkMessage(
            type: family, flags: NetlinkFlag.request | NetlinkFlag.acknowledge, sequence: sequence,
            payload: payload.encoded()
        ).encoded()
    }

    /// The events of one datagram.
    static func events(in datagram: ArraySlice<UInt8>, family: UInt16) -> [TCMUEvent] {
        let (messages, hasGarbage) = NetlinkMessage.split(datagram)
        var events = messages.compactMap { event($0, family: family) }
        if hasGarbage { events.append(.malformed(reason: "message longer than its datagram", request: nil)) }
        return events
    }

    /// The event of one message; nil if there is nothing to tell.
    static func event(_ message: NetlinkMessage, family: UInt16) -> TCMUEvent? {
        switch message.type {
        case family: deviceEvent(message.payload)
        case NetlinkControl.controller: FamilyMessage.event(message.payload)
        case NetlinkControl.nothing: nil
        case NetlinkControl.error: refusal(message.payload)
        default: .ignored(reason: "message of type \(message.type), our family is \(family)")
        }
    }

    /// What an NLMSG_ERROR acknowledges or refuses: its error, and the sequence number of what was sent.
    static func acknowledgement(_ message: NetlinkMessage) -> (sequence: UInt32, error: Errno?)? {
        guard message.type == NetlinkControl.error, let code = message.payload[...].native(Int32.self, at: 0),
            let sequence = message.payload[...].native(UInt32.self, at: 4 + 8)
        else { return nil }
        return (sequence, code == 0 ? nil : Errno(rawValue: code == .min ? .max : abs(code)))
    }

    /// NLMSG_ERROR: s32 error, then what we sent, from its header on.
    private static func refusal(_ payload: [UInt8]) -> TCMUEvent? {
        guard let code = payload[...].native(Int32.self, at: 0) else {
            return .malformed(reason: "acknowledgement of \(payload.count) bytes", request: nil)
        }
        if code == 0 { return nil }
        let sent = GenericNetlinkPayload.parse(payload.dropFirst(4 + NetlinkMessage.headerLength))?.payload
        let kind = sent.flatMap { NetlinkRequest.Kind(rawValue: $0.command &- doneOffset) }
        let deviceID = sent?[TCMUAttribute.deviceID]?.number(UInt32.self)
        return .replyRefused(
            kind.flatMap { kind in deviceID.map { NetlinkRequest(kind: kind, deviceID: $0) } },
            Errno(rawValue: code == .min ? .max : abs(code)))
    }

    private static func deviceEvent(_ bytes: [UInt8]) -> TCMUEvent {
        guard let (payload, isComplete) = GenericNetlinkPayload.parse(bytes[...]) else {
            return .malformed(reason: "payload of \(bytes.count) bytes", request: nil)
        }
        guard let kind = NetlinkRequest.Kind(rawValue: payload.command) else {
            return .ignored(reason: "command \(payload.command)")
        }
        let answered = payload.version >= version
        let deviceID = payload[TCMUAttribute.deviceID]?.number(UInt32.self)
        let request = answered ? deviceID.map { NetlinkRequest(kind: kind, deviceID: $0) } : nil
        func malformed(_ what: String) -> TCMUEvent {
            .malformed(reason: "event \"\(kind)\" \(what)", request: request)
        }
        guard isComplete else { return malformed("with an attribute longer than the message") }
        guard !answered || request != nil else { return malformed("without a device id") }
        guard let minor = payload[TCMUAttribute.minor]?.number(UInt32.self) else {
            return malformed("without a minor")
        }
        guard let name = payload[TCMUAttribute.device]?.text else { return malformed("without a device name") }
        let device = AnnouncedDevice(minor: minor, name: name, request: request)
        switch kind {
        case .added: return .added(device)
        case .removed: return .removed(device)
        case .reconfigured:
            guard let change = change(payload) else { return malformed("with other than one valid change") }
            return .reconfigured(device, change)
        }
    }

    /// The one change of a RECONFIG; nil if there are several or its value has the wrong size.
    private static func change(_ payload: GenericNetlinkPayload) -> DeviceChange? {
        let known = [TCMUAttribute.configuration, TCMUAttribute.size, TCMUAttribute.writeCache]
        let changes = payload.attributes.filter { known.contains($0.type) }
        guard let change = changes.first else { return .unknown }
        guard changes.count == 1 else { return nil }
        return switch change.type {
        case TCMUAttribute.configuration: .configuration(change.text)
        case TCMUAttribute.size: change.number(UInt64.self).map(DeviceChange.size)
        default: change.number(UInt8.self).map { .writeCache($0 != 0) }
        }
    }
}

extension GenericNetlinkPayload {
    /// The first attribute of a type.
    subscript(type: UInt16) -> NetlinkAttribute? { attributes.first { $0.type == type } }
}

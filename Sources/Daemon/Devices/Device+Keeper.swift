internal import BlockBackend
internal import Configuration
internal import KernelFiles
internal import Logging
internal import LogicalUnit
internal import Reactor
internal import SystemPackage

/// A device whose backend has a keeper: its life, and what it says.
extension Device {
    /// The unit is attached: its keeper may begin.
    func startKeeper(of unit: any ControlledUnit, _ loop: EngineLoop) {
        let inbox = inbox
        unit.keeper?.start(
            KeeperSurroundings(
                onLoop: { work in loop.post(unit, work) }, tell: { notice in inbox.put(.backend(notice)) }))
    }

    /// The unit is about to leave its loop. May take as long as the keeper waits for its storage.
    func stopKeeper(of unit: any ControlledUnit) async {
        guard let keeper = unit.keeper else { return }
        // Without a thread to wait on it goes on: a unit must not leave its loop under a keeper.
        while await BlockingCall.run("keeper-\(node.nodeName)", { keeper.stop() }) == nil {
            logger.error("\(label): no thread left to stop its keeper on; tried again")
            try? await ControlThread.sleep(for: .seconds(1))
        }
    }

    // MARK: - What it says

    /// Passes the keeper's word on to the unit and to people.
    func hear(_ notice: BackendNotice) {
        switch notice {
        case .availability(let availability): storage(is: availability)
        case .remark(let level, let line): logger.log(level: Logger.Level(level), "\(label): \(line.printable)")
        case .sizeDiffers(let bytes) where bytes == openedBytes:
            logger.notice("\(label): the image has \(bytes) bytes again, as many as are exported")
        case .sizeDiffers(let bytes) where bytes < openedBytes:
            logger.error(
                """
                \(label): the image was shrunk to \(bytes) bytes, and \(openedBytes) are exported. Commands beyond its end \
                fail; expected nobody to shrink an image in use. Resize it to \(openedBytes) bytes, or remove the LUN
                """)
        case .sizeDiffers(let bytes):
            logger.warning("\(label): \(moreThanExported(bytes: bytes, exported: openedBytes))")
        }
    }

    private func storage(is availability: BackendAvailability) {
        guard availability != self.availability else { return }
        self.availability = availability
        if let unit, let loop { loop.post(unit) { unit.storage(is: availability) } }
        switchPortalGroups(availability)
        switch availability {
        case .ready: logger.notice("\(label): the storage can be used again")
        case .recovering(let errno):
            logger.error(
                """
                \(label): the storage is away: \(Errno(rawValue: errno)). Its commands get BUSY, and NOT READY if that \
                lasts; other LUNs are not concerned. It comes back by itself
                """)
        case .standby:
            logger.notice(
                """
                \(label): the image is not the primary one of its mirror; initiators get NOT READY, standby, until it is \
                promoted here
                """)
        case .gone(let errno):
            logger.error(
                """
                \(label): the storage does not exist any longer: \(Errno(rawValue: errno)). Initiators get NOT READY; \
                remove the LUN, or restore what it was
                """)
        }
    }
}

extension Logger.Level {
    /// That of a keeper's remark.
    fileprivate init(_ level: BackendNotice.RemarkLevel) {
        self =
            switch level {
            case .info: .info
            case .notice: .notice
            case .warning: .warning
            case .error: .error
            }
    }
}

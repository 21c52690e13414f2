import SystemPackage

/// One TCMU device in configfs.
public struct Backstore: Sendable {
    /// Which one.
    public let name: BackstoreName
    let directory: FilePath

    /// Block size in bytes (`attrib/hw_block_size`), at least 1.
    public func blockSize() throws(KernelFileError) -> Int {
        try file("attrib", "hw_block_size").number(in: 1...Int(Int32.max))
    }

    /// Longest transfer in blocks (`attrib/hw_max_sectors`), at least 1; VPD page B0h advertises it.
    public func maximumTransferBlocks() throws(KernelFileError) -> Int {
        try file("attrib", "hw_max_sectors").number(in: 1...Int(Int32.max))
    }

    /// Size in bytes, from the line `… Size: <bytes> …` of `info`.
    public func size() throws(KernelFileError) -> UInt64 {
        let info = file("info")
        let text = try info.text()
        guard let size = Self.size(inInfo: text) else {
            throw info.malformed(text, expected: "\" Size: <bytes>\"")
        }
        return size
    }

    /// The unit serial number (`wwn/vpd_unit_serial`); empty while none is set.
    ///
    /// rtslib writes it after it has enabled the device, so it may be set or change long after the unit is open.
    public func unitSerial() throws(KernelFileError) -> String {
        let serial = file("wwn", "vpd_unit_serial")
        let text = try serial.text()
        // Without a serial the kernel prints the words all the same, and the blank at the end belongs to them.
        let words = "T10 VPD Unit Serial Number: "
        guard text.utf8.starts(with: words.utf8) else {
            throw serial.malformed(text, expected: "\"\(words)<serial>\"")
        }
        return String(text.unicodeScalars.dropFirst(words.unicodeScalars.count))
    }

    /// Stops the kernel from queueing commands (`action/block_dev`): what is done is completed, waiting commands and
    /// new ones fail BUSY. Or lets it go on. EINVAL while the device is not fully configured, ENODEV without the claim.
    public func setBlocked(_ blocked: Bool, holding claim: some DeviceClaim) throws(KernelFileError) {
        try file("action", "block_dev").write(blocked ? "1" : "0", holding: claim)
    }

    /// Whether the ring tells of task management functions (`attrib/tmr_notification`, since Linux 5.10; off by
    /// default). ENOENT on older kernels.
    public func setTaskManagementNotices(_ on: Bool, holding claim: some DeviceClaim) throws(KernelFileError) {
        try file("attrib", "tmr_notification").write(on ? "1" : "0", holding: claim)
    }

    /// Whether the device is configured (`enable`): false also while whoever enables it waits for a daemon's answer.
    public func isEnabled() throws(KernelFileError) -> Bool { try file("enable").flag() }

    /// Whether the kernel waits for answers to this device's events (`attrib/nl_reply_supported` above 0). Nil on kernels
    /// without the attribute.
    public func waitsForAnswers() throws(KernelFileError) -> Bool? {
        do throws(KernelFileError) {
            return try file("attrib", "nl_reply_supported").number(in: Int(Int32.min)...Int(Int32.max)) > 0
        } catch {
            guard case .unreadable(.noSuchFileOrDirectory) = error.reason else { throw error }
            return nil
        }
    }

    /// The kernel's note of whether the unit has a write cache (`attrib/emulate_write_cache`). Nothing reads it but people and
    /// tools; what initiators are told is the unit's own.
    public func emulatesWriteCache() throws(KernelFileError) -> Bool {
        try file("attrib", "emulate_write_cache").flag()
    }

    /// Whether LIO's core answers PERSISTENT RESERVE, RESERVE and RELEASE for the device: `attrib/emulate_pr` and, which is
    /// about who answers them, `attrib/pgr_support`. Kernels too old for either file do.
    public func servesReservations() throws(KernelFileError) -> Bool {
        for name in ["emulate_pr", "pgr_support"] where try file("attrib", name).countIfPresent() == 0 {
            return false
        }
        return true
    }

    /// What becomes of the commands a reset finds in the ring; the numbers are the kernel's.
    public enum RingReset: Int, Sendable {
        /// They fail BUSY and come again.
        case busy = 1
        /// They fail CHECK CONDITION.
        case checkCondition = 2
    }

    /// Empties the ring (`action/reset_ring`). The data pages of its commands are given up with it: nobody may be
    /// reading or writing them. EINVAL while the device is not fully configured, ENODEV without the claim.
    public func resetRing(_ reset: RingReset, holding claim: some DeviceClaim) throws(KernelFileError) {
        try file("action", "reset_ring").write("\(reset.rawValue)", holding: claim)
    }

    /// The size in an `info` text, or nil.
    ///
    /// The *last* `Size:` counts: in front of it stands the device's configuration, which is anybody's text.
    static func size(inInfo text: String) -> UInt64? {
        let words = text.utf8.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
        guard let at = words.lastIndex(where: { $0.elementsEqual("Size:".utf8) }), at + 1 < words.endIndex
        else { return nil }
        return UInt64(Substring(words[at + 1]))
    }

    func file(_ names: String...) -> AttributeFile {
        AttributeFile(path: names.reduce(directory) { $0.appending($1) })
    }
}

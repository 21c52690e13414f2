internal import LogicalUnit

/// What the kernel's settings of a unit let run at once, which of them is the bound, and what to change.
///
/// The arithmetic is the kernel's (drivers/target/target_core_user.c): a command's data take whole blocks of the data
/// area, its entry in the ring has room for as many pieces as the data are in, and a command that finds no room waits
/// in the kernel, and all that come after it with it. Nothing here traps, whatever the settings are.
struct SizingAdvice: Equatable, Sendable {
    /// The settings that count. The defaults are the kernel's.
    struct Settings: Equatable, Sendable {
        /// Bytes in a logical block (`hw_block_size`).
        var blockSize: UInt32 = 512
        /// Longest transfer in logical blocks (`hw_max_sectors`).
        var transferBlocks: UInt32 = 128
        /// Size of the data area in MiB (`max_data_area_mb`).
        var dataAreaMebibytes: UInt32 = 1024
        /// Pages in a block of the data area (`data_pages_per_blk`).
        var pagesPerDataBlock: UInt32 = 1
        /// Size of mailbox and command ring in MiB (`cmd_ring_size_mb`).
        var commandRingMebibytes: UInt32 = 8
        /// Commands that ought to find room at once (`hw_queue_depth`).
        var queueDepth: UInt32 = 128
        /// The most that `max_data_area_mb` can be, in MiB (`global_max_data_area_mb`).
        var globalDataAreaMebibytes: UInt32 = 2048
        /// Bytes in a page.
        var pageSize: UInt32 = 4096
    }

    /// What is used up first.
    enum Bound: Equatable, Sendable {
        /// `max_data_area_mb`, divided as `data_pages_per_blk` says.
        case dataArea
        /// `cmd_ring_size_mb`.
        case commandRing
        /// The daemon's own ``LogicalUnit/Limits/commandsInFlight``.
        case daemon
    }

    /// Room for commands of one size.
    struct Room: Equatable, Sendable {
        /// Bytes that one command transfers.
        let bytes: UInt64
        /// Commands that can run at once; of 0 the kernel refuses each one with INVALID FIELD IN CDB.
        let commands: UInt64
        /// What keeps it from being more.
        let bound: Bound
    }

    /// Room for the largest commands that initiators are told they may send.
    let largest: Room
    /// Room for commands of 4 KiB, or of the nearest size there is.
    let small: Room
    /// What to change, as in "raise max_data_area_mb to 128"; nil if nothing need be changed, or nothing can be.
    let remedy: String?
    private let settings: Settings

    /// Works out the room that `settings` leave.
    init(_ settings: Settings) {
        var settings = settings
        settings.queueDepth = max(settings.queueDepth, 1)
        self.settings = settings
        // VPD page B0h promises no more than a command may have pieces of one page, hw_max_sectors or not.
        let promised = min(
            UInt64(settings.transferBlocks) * UInt64(settings.blockSize), UInt64(Limits.segments) * 4096)
        largest = Self.room(for: max(promised, 1), settings)
        small = Self.room(for: min(max(4096, UInt64(settings.blockSize)), largest.bytes), settings)
        remedy = largest.commands < settings.queueDepth ? Self.remedy(largest, settings) : nil
    }

    /// One line: what limits the unit and what to change, or what is the bound where nothing need be changed.
    var line: String {
        let bound = Self.name(of: largest.bound, settings)
        let size = Self.words(largest.bytes)
        guard largest.commands > 0 else {
            return "\(bound) has no room for a command of \(size), so that the kernel refuses it" + advice
        }
        let few = small.bytes < largest.bytes ? " (\(small.commands) of \(Self.words(small.bytes)))" : ""
        let room = "\(bound) lets \(largest.commands) commands of \(size) run at once\(few)"
        return largest.commands < settings.queueDepth
            ? "\(room), of a queue depth of \(settings.queueDepth)" + advice
            : "the queue depth of \(settings.queueDepth) is the bound; \(room)"
    }

    private var advice: String { remedy.map { "; \($0)" } ?? "" }

    private static func name(of bound: Bound, _ settings: Settings) -> String {
        switch bound {
        case .dataArea where settings.pagesPerDataBlock > 1:
            "max_data_area_mb=\(settings.dataAreaMebibytes) with data_pages_per_blk=\(settings.pagesPerDataBlock)"
        case .dataArea: "max_data_area_mb=\(settings.dataAreaMebibytes)"
        case .commandRing: "cmd_ring_size_mb=\(settings.commandRingMebibytes)"
        case .daemon: "tcmud"
        }
    }

    /// `bytes` in the largest unit that leaves no fraction.
    private static func words(_ bytes: UInt64) -> String {
        if bytes % mebibyte == 0 { return "\(bytes / mebibyte) MiB" }
        return bytes % 1024 == 0 ? "\(bytes / 1024) KiB" : "\(bytes) bytes"
    }
}

// MARK: - Arithmetic

// Bound: settings have 32 bits and a transfer has at most 4 MiB, so no product of two of them passes 64 bits; longer
// products saturate.
extension SizingAdvice {
    private static let mebibyte: UInt64 = 1 << 20
    private static let mailboxBytes: UInt64 = 128
    /// The kernel makes no larger one.
    private static let largestRingMebibytes: UInt32 = 8

    private static func room(for bytes: UInt64, _ settings: Settings) -> Room {
        let area = commandsInArea(bytes, settings, pagesPerDataBlock: settings.pagesPerDataBlock)
        let ring = commandsInRing(bytes, settings)
        let least = min(area, ring, UInt64(Limits.commandsInFlight))
        let bound: Bound = least == area ? .dataArea : least == ring ? .commandRing : .daemon
        return Room(bytes: bytes, commands: least, bound: bound)
    }

    private static func commandsInArea(
        _ bytes: UInt64, _ settings: Settings, pagesPerDataBlock: UInt32
    ) -> UInt64 {
        let blockBytes = dataBlockBytes(settings, pagesPerDataBlock)
        let blocks = UInt64(settings.dataAreaMebibytes) * mebibyte / blockBytes
        return blocks / bytes.divided(roundingUpBy: blockBytes)
    }

    private static func commandsInRing(_ bytes: UInt64, _ settings: Settings) -> UInt64 {
        let entry = entryBytes(bytes, settings)
        let ring = UInt64(settings.commandRingMebibytes) * mebibyte
        // An entry is never split at the ring's end: up to one whole entry is lost there.
        return ring < mailboxBytes + entry ? 0 : (ring - mailboxBytes - entry) / entry
    }

    /// Bytes of a command's entry when no two blocks of its data are neighbours: 48 and 16 per piece, 112 at least, and
    /// 16 for the CDB.
    private static func entryBytes(_ bytes: UInt64, _ settings: Settings) -> UInt64 {
        let pieces = bytes.divided(roundingUpBy: dataBlockBytes(settings, settings.pagesPerDataBlock))
        return max(112, 48 + 16 * pieces) + 16
    }

    private static func dataBlockBytes(_ settings: Settings, _ pagesPerDataBlock: UInt32) -> UInt64 {
        UInt64(max(settings.pageSize, 1)) * UInt64(max(pagesPerDataBlock, 1))
    }

    private static func remedy(_ room: Room, _ settings: Settings) -> String? {
        switch room.bound {
        case .dataArea:
            let pages = UInt32(clamping: room.bytes.divided(roundingUpBy: dataBlockBytes(settings, 1)))
            guard pages < settings.pagesPerDataBlock else {
                return raiseArea(room.bytes, settings, pagesPerDataBlock: settings.pagesPerDataBlock)
            }
            // No command fills such a block, so the area is smaller than it looks.
            let lower = "lower data_pages_per_blk to \(pages)"
            let enough = commandsInArea(room.bytes, settings, pagesPerDataBlock: pages) >= settings.queueDepth
            return enough
                ? lower : "\(lower) and \(raiseArea(room.bytes, settings, pagesPerDataBlock: pages))"
        case .commandRing:
            let needed = (UInt64(settings.queueDepth) + 1).saturating(times: entryBytes(room.bytes, settings))
            let mebibytes = min(
                UInt32(clamping: needed.divided(roundingUpBy: mebibyte)), largestRingMebibytes)
            return mebibytes > settings.commandRingMebibytes ? "raise cmd_ring_size_mb to \(mebibytes)" : nil
        case .daemon: return nil
        }
    }

    /// Twice what the queue depth asks for: a second initiator finds room as well, and the data of a command are in
    /// fewer pieces. Only as much as it asks for where the kernel's bound for all devices leaves no more.
    private static func raiseArea(
        _ bytes: UInt64, _ settings: Settings, pagesPerDataBlock: UInt32
    ) -> String {
        let blockBytes = dataBlockBytes(settings, pagesPerDataBlock)
        let command = bytes.divided(roundingUpBy: blockBytes).saturating(times: blockBytes)
        let needed = command.saturating(times: UInt64(settings.queueDepth)).divided(roundingUpBy: mebibyte)
        let global = UInt64(settings.globalDataAreaMebibytes)
        if needed <= global { return "raise max_data_area_mb to \(needed * 2 <= global ? needed * 2 : needed)" }
        return "raise max_data_area_mb to \(needed), and global_max_data_area_mb first"
    }
}

extension UInt64 {
    fileprivate func divided(roundingUpBy divisor: UInt64) -> UInt64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder == 0 ? quotient : quotient + 1
    }

    fileprivate func saturating(times factor: UInt64) -> UInt64 {
        let (product, overflow) = multipliedReportingOverflow(by: factor)
        return overflow ? .max : product
    }
}

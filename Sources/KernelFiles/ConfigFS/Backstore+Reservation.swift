import SystemPackage

/// The reservation that the kernel keeps of a device (`pr/…`): it answers RESERVE and PERSISTENT RESERVE itself.
public enum DeviceReservation: Equatable, Sendable {
    /// None, or the kernel keeps none (`emulate_pr` or `pgr_support` is off).
    case free
    /// RESERVE (SPC-2).
    case scsi2
    /// A persistent one of a Write Exclusive type: others may read.
    case writeExclusive
    /// A persistent one of an Exclusive Access type.
    case exclusiveAccess
}

extension Backstore {
    /// The reservation in force.
    ///
    /// - Throws: if it cannot be read, or the kernel says something that it is not known to say.
    public func reservation() throws(KernelFileError) -> DeviceReservation {
        let holder = file("pr", "res_holder")
        let text: String
        do throws(KernelFileError) {
            text = try holder.text()
        } catch {
            // A kernel that does not show reservations here has none to keep.
            guard case .unreadable(.noSuchFileOrDirectory) = error.reason else { throw error }
            return .free
        }
        if Self.freeWords.contains(where: { text.starts(with: $0) }) { return .free }
        if text.starts(with: "SPC-2 Reservation:") { return .scsi2 }
        guard text.starts(with: "SPC-3 Reservation:") else {
            throw holder.malformed(text, expected: "a reservation holder, or that there is none")
        }
        let type = file("pr", "res_pr_type")
        let words = try type.text()
        // It may have been released between the two.
        if Self.freeWords.contains(where: { words.starts(with: $0) }) { return .free }
        // "Write Exclusive Access, Registrants Only", "Exclusive Access", …
        if words.starts(with: "SPC-3 Reservation Type: Write Exclusive") { return .writeExclusive }
        if words.starts(with: "SPC-3 Reservation Type: Exclusive Access") { return .exclusiveAccess }
        throw type.malformed(words, expected: "\"SPC-3 Reservation Type: <type>\"")
    }

    /// How the kernel says that nobody holds the device (`target_core_configfs.c`, since 2.6.38; "Passthrough" since 3.8).
    private static let freeWords = [
        "No SPC-3 Reservation", "No SPC-2 Reservation", "SPC_RESERVATIONS_DISABLED", "Passthrough",
        "SPC_PASSTHROUGH",
    ]
}

import SystemPackage

/// The port through which a fabric offers a LUN: what VPD page 83h and REPORT TARGET PORT GROUPS tell of it.
public struct TargetPort: Sendable {
    let groupDirectory: FilePath
    let unitDirectory: FilePath

    /// Relative target port identifier (`statistics/scsi_port/indx`), SPC-4 7.8.5.7.
    public func relativeIdentifier() throws(KernelFileError) -> UInt16 {
        try statistics("scsi_port", "indx").number(in: 0...UInt16.max)
    }

    /// Protocol identifier (`statistics/scsi_transport/proto_id`), SPC-4 table 361; 0 to 15.
    public func protocolIdentifier() throws(KernelFileError) -> UInt8 {
        try statistics("scsi_transport", "proto_id").number(in: 0...15)
    }

    /// Whether the portal group serves initiators (`tpgt_<tag>/enable`). Some fabrics have no such file: nil.
    public func isEnabled() throws(KernelFileError) -> Bool? {
        do {
            return try AttributeFile(path: groupDirectory.appending("enable")).flag()
        } catch {
            if error.reason == .unreadable(.noSuchFileOrDirectory) { return nil }
            throw error
        }
    }

    private func statistics(_ table: String, _ column: String) -> AttributeFile {
        AttributeFile(path: unitDirectory.appending("statistics").appending(table).appending(column))
    }
}

internal import KernelFiles
internal import LogicalUnit
internal import SystemPackage

/// A FORMAT UNIT or SANITIZE of one device that has begun and not reached its end (``KeptFile``).
struct ErasureStore: Sendable {
    /// Where the files are, usually `/run/tcmud`.
    let directory: FilePath
    let backstore: Backstore
    /// The device's configuration text.
    let configuration: String
    /// Source: `random/boot_id`.
    var bootFile = FilePath("/proc/sys/kernel/random/boot_id")

    private var kept: KeptFile {
        KeptFile(
            subject: .erasure, directory: directory, backstore: backstore, configuration: configuration,
            bootFile: bootFile)
    }

    /// Where it is; nil where the device is not there.
    var file: FilePath? { kept.path }

    /// What was kept; nil where no erasure was cut off or has failed.
    func read() -> KeptErasure? {
        kept.read(among: Self.all.map(\.line)).map { Self.all[$0] }
    }

    /// Keeps an erasure, or that there is none.
    func write(_ erasure: KeptErasure?) throws(Errno) {
        guard let erasure else { return try kept.remove() }
        _ = try kept.write(erasure.line)
    }

    private static let all = [
        KeptErasure(isSanitize: false, mayExit: false), KeptErasure(isSanitize: true, mayExit: false),
        KeptErasure(isSanitize: true, mayExit: true),
    ]
}

extension KeptErasure {
    fileprivate var line: String { isSanitize ? "SANITIZE AUSE \(mayExit ? 1 : 0)" : "FORMAT UNIT" }

    /// The command.
    var name: String { isSanitize ? "SANITIZE" : "FORMAT UNIT" }
}

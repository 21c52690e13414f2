internal import KernelFiles
internal import LogicalUnit
internal import SCSI
internal import SystemPackage

/// Mode parameters of one device as MODE SELECT left them (``KeptFile``).
struct ModeStore: Sendable {
    /// Where the files are, usually `/run/tcmud`.
    let directory: FilePath
    let backstore: Backstore
    /// The device's configuration text.
    let configuration: String
    /// Source: `random/boot_id`.
    var bootFile = FilePath("/proc/sys/kernel/random/boot_id")

    private var kept: KeptFile {
        KeptFile(
            subject: .modes, directory: directory, backstore: backstore, configuration: configuration,
            bootFile: bootFile)
    }

    /// Where they are; nil where the device is not there.
    var file: FilePath? { kept.path }

    /// What was kept; nil where nothing was changed, or what is there is not this device's.
    func read() -> ModeParameters? {
        let all = ModeParameters.all
        return kept.read(among: all.map(Self.line)).map { all[$0] }
    }

    /// Keeps parameters, whole or not at all. Returns the file, which may be removed when the device has gone.
    func write(_ parameters: ModeParameters) throws(Errno) -> FilePath { try kept.write(Self.line(parameters)) }

    /// Forgets what is kept of devices that are no more.
    static func prune(_ directory: FilePath, tree: ConfigFSTree) { KeptFile.prune(directory, tree: tree) }

    private static func line(_ parameters: ModeParameters) -> String {
        func number(_ flag: Bool) -> Int { flag ? 1 : 0 }
        return """
            WCE \(number(parameters.writeCacheEnabled)) SWP \(number(parameters.softwareWriteProtect)) \
            D_SENSE \(number(parameters.descriptorSense))
            """
    }
}

extension ModeParameters {
    /// Every value there is.
    fileprivate static var all: [ModeParameters] {
        (0..<8).map {
            ModeParameters(
                writeCacheEnabled: $0 & 1 != 0, softwareWriteProtect: $0 & 2 != 0, descriptorSense: $0 & 4 != 0)
        }
    }
}

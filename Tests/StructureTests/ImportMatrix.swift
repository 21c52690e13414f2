/// Who may import whom: the architecture as data. A new module gets a row here, in Package.swift and in
/// docs/ARCHITECTURE.md.
///
/// Bottom-up; a module may only name modules above it in this list, so the graph cannot get a cycle. Every module
/// may import the standard library's parts (`ImportMatrix.standard`).
enum ImportMatrix {
    /// What belongs to the toolchain or to glibc. Foundation does not: see `NoFoundationTests`.
    static let standard: Set<String> = ["Glibc", "Synchronization", "SystemPackage"]

    /// Module and what it may import besides.
    static let rows: [(module: String, mayImport: Set<String>)] = [
        ("SCSI", []),
        ("TCMURing", ["CTCMU", "CLinux"]),
        ("Reactor", ["CLinux"]),
        ("BlockBackend", ["Reactor"]),
        ("MemoryBackend", ["BlockBackend", "Reactor"]),
        ("FileBackend", ["BlockBackend", "Reactor", "CLinux", "CURing"]),
        ("RBDBackend", ["BlockBackend", "Reactor", "CRBD"]),
        ("ALUA", ["SCSI"]),
        ("LogicalUnit", ["SCSI", "ALUA", "TCMURing", "Reactor", "BlockBackend"]),
        ("Configuration", ["CLinux"]),
        ("ConfigFS", []),
        ("TCMUNetlink", ["CNetlink", "CLinux"]),
        ("KernelModule", ["CKmod"]),
        ("DBusService", ["CSystemd", "Reactor"]),
        (
            "Daemon",
            [
                "SCSI", "TCMURing", "Reactor", "BlockBackend", "MemoryBackend", "FileBackend", "RBDBackend", "ALUA",
                "LogicalUnit", "Configuration", "ConfigFS", "TCMUNetlink", "KernelModule", "DBusService", "CLinux",
                "Logging", "ServiceLifecycle",
            ]
        ),
        ("tcmud", ["Daemon", "CAllocator", "ArgumentParser", "Logging"]),
        (
            "TCMUTestKit",
            [
                "CTCMU", "CLinux", "CNetlink", "SCSI", "TCMURing", "Reactor", "BlockBackend", "MemoryBackend",
                "LogicalUnit", "TCMUNetlink",
            ]
        ),
    ]

    /// SCSI decoding is a pure function of bytes: not even glibc.
    static let pure: Set<String> = ["SCSI", "ALUA"]

    /// Who may import the test kit: nobody that ships.
    static let testOnly: Set<String> = ["TCMUTestKit", "CAllocationProbe", "Testing"]
}

// swift-tools-version: 6.2
import PackageDescription

// One row per module, bottom-up. A row says whom the module may import; Tests/StructureTests reads it from here, and holds
// the sources to it.

/// Flags every Swift target of this package is built with.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

/// The data path is generic over the backend and split over modules; only with cross-module optimisation
/// is it specialised where Daemon joins the two (docs/adr/0003).
let dataPath: [SwiftSetting] =
    strict + [.unsafeFlags(["-cross-module-optimization"], .when(configuration: .release))]

let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

func module(
    _ name: String, _ dependencies: [Target.Dependency], settings: [SwiftSetting] = strict
) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let c: [Target] = [
    .target(name: "CTCMU", path: "CSupport/CTCMU"),
    .target(name: "CLinux", path: "CSupport/CLinux"),
    .target(name: "CAllocationProbe", path: "CSupport/CAllocationProbe"),
    .target(
        name: "CAllocator", path: "CSupport/CAllocator", linkerSettings: [.linkedLibrary("tcmalloc_minimal")]),
    .systemLibrary(name: "CRBD", path: "CSupport/CRBD", providers: [.apt(["librbd-dev"])]),
    .target(name: "CURing", path: "CSupport/CURing", linkerSettings: [.linkedLibrary("uring")]),
    .systemLibrary(
        name: "CNetlink", path: "CSupport/CNetlink", pkgConfig: "libnl-genl-3.0",
        providers: [.apt(["libnl-genl-3-dev"])]),
    .systemLibrary(
        name: "CKmod", path: "CSupport/CKmod", pkgConfig: "libkmod", providers: [.apt(["libkmod-dev"])]),
    .target(name: "CSystemd", path: "CSupport/CSystemd", linkerSettings: [.linkedLibrary("systemd")]),
]

let dataPlane: [Target] = [
    module("KernelFiles", [system]),
    module("SCSI", [], settings: dataPath),
    module("TCMURing", ["CTCMU", system], settings: dataPath),
    module("Reactor", ["CLinux", system], settings: dataPath),
    module("BlockBackend", ["Reactor", system], settings: dataPath),
    module("MemoryBackend", ["BlockBackend", system], settings: dataPath),
    module(
        "FileBackend", ["KernelFiles", "BlockBackend", "Reactor", "CLinux", "CURing", system], settings: dataPath),
    module("RBDBackend", ["KernelFiles", "BlockBackend", "Reactor", "CRBD", system], settings: dataPath),
    module("ALUA", ["SCSI"], settings: dataPath),
    module(
        "LogicalUnit", ["SCSI", "ALUA", "TCMURing", "Reactor", "BlockBackend"], settings: dataPath),
]

let controlPlane: [Target] = [
    module("Configuration", ["KernelFiles", "CLinux", system]),
    module("TCMUNetlink", ["KernelFiles", "CNetlink", "CLinux", system]),
    module("KernelModule", ["KernelFiles", "CKmod", system]),
    module("DBusService", ["CSystemd", "Reactor", system]),
    module(
        "Daemon",
        [
            "SCSI", "TCMURing", "Reactor", "BlockBackend", "MemoryBackend", "FileBackend", "RBDBackend", "ALUA",
            "LogicalUnit", "Configuration", "KernelFiles", "TCMUNetlink", "KernelModule", "DBusService", "CLinux",
            system,
            logging, lifecycle,
        ], settings: dataPath),
]

let programs: [Target] = [
    .executableTarget(
        name: "tcmud", dependencies: ["Daemon", "CAllocator", arguments, logging], swiftSettings: strict),
    .executableTarget(
        name: "ring-bench",
        dependencies: [
            "TCMUTestKit", "LogicalUnit", "Reactor", "BlockBackend", "MemoryBackend", "FileBackend",
            "CAllocationProbe",
            arguments,
        ],
        path: "Benchmarks/RingBench", swiftSettings: dataPath),
    .executableTarget(
        name: "ring-load", dependencies: ["TCMUTestKit", "TCMURing", "CLinux", arguments, system],
        path: "Benchmarks/RingLoad", swiftSettings: dataPath),
]

let testing: [Target] = [
    module(
        "TCMUTestKit",
        [
            "CTCMU", "CLinux", "KernelFiles", "SCSI", "TCMURing", "Reactor", "BlockBackend", "MemoryBackend",
            "LogicalUnit",
            "TCMUNetlink", "CNetlink", system,
        ], settings: dataPath),
    tests("SCSITests", ["SCSI", "TCMUTestKit"]),
    tests("TCMURingTests", ["TCMURing", "TCMUTestKit", "CTCMU"]),
    tests("ReactorTests", ["Reactor", "TCMUTestKit", system]),
    tests("BlockBackendTests", ["BlockBackend", "MemoryBackend", "Reactor", "TCMUTestKit", system]),
    tests(
        "FileBackendTests",
        [
            "FileBackend", "MemoryBackend", "BlockBackend", "Reactor", "CLinux", "CAllocationProbe", system,
            "TCMUTestKit",
        ]),
    tests("ALUATests", ["ALUA", "SCSI"]),
    tests("RBDBackendTests", ["RBDBackend", "BlockBackend", "CRBD", "Reactor", system]),
    tests(
        "LogicalUnitTests",
        [
            "LogicalUnit", "MemoryBackend", "FileBackend", "TCMUTestKit", "BlockBackend", "SCSI", "ALUA",
            "TCMURing",
            "Reactor", system,
        ]),
    tests(
        "AllocationTests",
        [
            "LogicalUnit", "MemoryBackend", "FileBackend", "TCMUTestKit", "CAllocationProbe", "BlockBackend",
            "Reactor",
        ]),
    tests("ConfigurationTests", ["Configuration", system]),
    tests("KernelFilesTests", ["KernelFiles", system]),
    tests("TCMUNetlinkTests", ["TCMUNetlink", "TCMUTestKit", system]),
    tests("KernelModuleTests", ["KernelModule", system]),
    tests("DBusServiceTests", ["DBusService", "Reactor", system]),
    tests(
        "DaemonTests",
        [
            "Daemon", "BlockBackend", "DBusService", "TCMUTestKit", "ALUA", "CLinux", "KernelFiles",
            "Configuration",
            "KernelModule",
            "LogicalUnit",
            "RBDBackend", "Reactor",
            "SCSI",
            "TCMUNetlink", "TCMURing", logging, system,
        ]),
    tests("StructureTests", []),
]

let package = Package(
    name: "swift-tcmu",
    products: [
        .executable(name: "tcmud", targets: ["tcmud"]),
        // For Benchmarks/InProcess, a package of its own; nobody else is to build on these (docs/adr/0003).
        .library(
            name: "DataPath",
            targets: ["SCSI", "TCMURing", "Reactor", "BlockBackend", "MemoryBackend", "LogicalUnit"]),
        .library(name: "TCMUTestKit", targets: ["TCMUTestKit"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: c + dataPlane + controlPlane + programs + testing
)

// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that nobody who builds the daemon has to fetch a benchmark library.

/// As in the package under test: the data path is specialised where the backend's type is known, which is here.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
]

let dataPath: Target.Dependency = .product(name: "DataPath", package: "swift-tcmu")
let testKit: Target.Dependency = .product(name: "TCMUTestKit", package: "swift-tcmu")

let package = Package(
    name: "in-process",
    dependencies: [
        .package(name: "swift-tcmu", path: "../.."),
        // Without its traits: they replace malloc, and what they count is not asked for here.
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        .target(name: "SingleUnit", dependencies: [dataPath, testKit], swiftSettings: settings),
        .executableTarget(
            name: "path-counts", dependencies: ["SingleUnit", dataPath, testKit], path: "Sources/PathCounts",
            swiftSettings: settings),
        .executableTarget(
            name: "DataPath-benchmarks",
            dependencies: ["SingleUnit", dataPath, testKit, .product(name: "Benchmark", package: "benchmark")],
            path: "Benchmarks/DataPath", swiftSettings: settings,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
    ]
)

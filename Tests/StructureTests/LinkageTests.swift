import Glibc
import Testing

@Suite("What the daemon links")
struct LinkageTests {
    /// Directory of the binaries that were built together with this test.
    static let buildFolder: String? = {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count)
        // The tests may be run by the toolchain's own helper program; the loaded test bundle tells the place then.
        let executable =
            count > 0 ? String(decoding: path.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) : ""
        for candidate in [executable, loadedTestBundle() ?? ""] where !candidate.isEmpty {
            let folder = candidate.split(separator: "/").dropLast().joined(separator: "/")
            if access("/\(folder)/tcmud", R_OK) == 0 { return "/\(folder)" }
        }
        return nil
    }()

    @Test(
        "tcmud needs no Foundation library",
        .enabled(if: buildFolder != nil, "tcmud is not built beside the tests; `swift build` builds it"))
    func noFoundation() throws {
        let folder = try #require(Self.buildFolder)
        let needed = try ELFFile(path: "\(folder)/tcmud").neededLibraries()
        #expect(
            needed.contains { $0.hasPrefix("libc.so") }, "the list of needed libraries was not found: \(needed)")
        for library in needed where library.hasPrefix("libFoundation") || library.hasPrefix("lib_Foundation") {
            // ArgumentParser brings the part without ICU; nothing may bring the rest.
            #expect(
                library == "libFoundationEssentials.so", "tcmud links \(library); find the import that brings it")
        }
    }
}

/// Path of the shared object or program in this process whose name ends in `.xctest`.
private func loadedTestBundle() -> String? {
    guard let maps = fopen("/proc/self/maps", "r") else { return nil }
    defer { fclose(maps) }
    var line = [CChar](repeating: 0, count: 8192)
    while fgets(&line, Int32(line.count), maps) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let slash = text.firstIndex(of: "/") else { continue }
        let path = text[slash...].prefix { $0 != "\n" }
        if path.hasSuffix(".xctest") { return String(path) }
    }
    return nil
}

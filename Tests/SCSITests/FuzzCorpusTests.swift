import Glibc
import Testing

/// The fuzzer's corpus through the fuzzer's properties, so that every input ever found stays harmless. A property that
/// does not hold stops the process, as it does under the fuzzer.
@Suite("The fuzzer's corpus")
struct FuzzCorpusTests {
    /// The inputs of a target, by name.
    private static func corpus(_ target: String) throws -> [(name: String, bytes: [UInt8])] {
        let folder =
            "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Fuzz/corpus/\(target)"
        let stream = try #require(opendir(folder), "no corpus at \(folder)")
        defer { closedir(stream) }
        var inputs: [(String, [UInt8])] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasPrefix(".") { continue }
            let file = try #require(fopen("\(folder)/\(name)", "r"))
            defer { fclose(file) }
            // Bound: the fuzzer makes inputs of at most 600 bytes.
            var bytes = [UInt8](repeating: 0, count: 65_536)
            let count = fread(&bytes, 1, bytes.count, file)
            inputs.append((name, Array(bytes.prefix(count))))
        }
        return inputs
    }

    @Test("CDBs: whole, cut after every byte, and with bytes behind")
    func cdbs() throws {
        let inputs = try Self.corpus("cdb")
        #expect(inputs.count >= 28)
        for (_, bytes) in inputs {
            for length in 0...bytes.count { bytes.prefix(length).withUnsafeBytes(checkCDB) }
            (bytes + zeros(32)).withUnsafeBytes(checkCDB)
        }
    }

    @Test("parameter lists: whole, and cut after every byte")
    func lists() throws {
        let inputs = try Self.corpus("lists")
        #expect(inputs.count >= 8)
        for (_, bytes) in inputs {
            for length in 0...bytes.count { bytes.prefix(length).withUnsafeBytes(checkParameterList) }
        }
    }
}

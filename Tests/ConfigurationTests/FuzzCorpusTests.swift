import Glibc
import Testing

/// The fuzzer's corpus through the fuzzer's property. One that does not hold stops the process, as under the fuzzer.
@Suite("The fuzzer's corpus of configuration texts")
struct FuzzCorpusTests {
    @Test("whole, and cut after every byte")
    func corpus() throws {
        let parts = #filePath.split(separator: "/").dropLast(2)
        let folder = "/" + parts.joined(separator: "/") + "/Fuzz/corpus/config"
        let stream = try #require(opendir(folder), "no corpus at \(folder)")
        defer { closedir(stream) }
        var inputs = 0
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasPrefix(".") { continue }
            let file = try #require(fopen("\(folder)/\(name)", "r"))
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 65_536)
            let count = fread(&bytes, 1, bytes.count, file)
            for length in 0...count { bytes.prefix(length).withUnsafeBytes(checkConfiguration) }
            inputs += 1
        }
        #expect(inputs >= 12)
    }
}

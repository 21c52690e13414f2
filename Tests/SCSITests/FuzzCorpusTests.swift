import TCMUTestKit
import Testing

/// The fuzzer's corpus through the fuzzer's properties, so that every input ever found stays harmless. A property that
/// does not hold stops the process, as it does under the fuzzer.
@Suite("The fuzzer's corpus")
struct FuzzCorpusTests {
    @Test("CDBs: whole, cut after every byte, and with bytes behind")
    func cdbs() throws {
        let inputs = try FuzzCorpus.inputs("cdb")
        #expect(inputs.count >= 28)
        for bytes in inputs.map(\.bytes) {
            for length in 0...bytes.count { bytes.prefix(length).withUnsafeBytes(checkCDB) }
            (bytes + zeros(32)).withUnsafeBytes(checkCDB)
        }
    }

    @Test("parameter lists: whole, and cut after every byte")
    func lists() throws {
        let inputs = try FuzzCorpus.inputs("lists")
        #expect(inputs.count >= 16)
        for bytes in inputs.map(\.bytes) {
            for length in 0...bytes.count { bytes.prefix(length).withUnsafeBytes(checkParameterList) }
        }
    }
}

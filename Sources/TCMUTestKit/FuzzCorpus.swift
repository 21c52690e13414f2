internal import Glibc
public import SystemPackage

/// The inputs that are kept for the fuzzer's targets, in Tests/Fuzz/corpus.
public enum FuzzCorpus {
    /// One input.
    public struct Input: Sendable {
        /// Its file.
        public let name: String
        /// At most 64 KiB of them; the fuzzer makes no more than 600.
        public let bytes: [UInt8]
    }

    /// The folder of a target's inputs.
    public static func folder(_ target: String) -> FilePath {
        FilePath(#filePath).removingLastComponent().appending("../../Tests/Fuzz/corpus").appending(target)
    }

    /// The inputs of a target, by name. - Throws: what opendir and fopen say.
    public static func inputs(_ target: String) throws(Errno) -> [Input] {
        let folder = folder(target)
        guard let stream = opendir(folder.string) else { throw Errno(rawValue: errno) }
        defer { closedir(stream) }
        var inputs: [Input] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasPrefix(".") { continue }
            guard let file = fopen(folder.appending(name).string, "r") else { throw Errno(rawValue: errno) }
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 65_536)
            let count = fread(&bytes, 1, bytes.count, file)
            inputs.append(Input(name: name, bytes: Array(bytes.prefix(count))))
        }
        return inputs.sorted { $0.name < $1.name }
    }
}

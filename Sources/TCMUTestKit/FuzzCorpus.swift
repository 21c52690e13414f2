internal import KernelFiles
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

    /// The inputs of a target, by name.
    ///
    /// - Throws: what the reading of the folder and of its files says.
    public static func inputs(_ target: String) throws(Errno) -> [Input] {
        let folder = folder(target)
        return try DirectoryReader.names(in: folder).filter { !$0.hasPrefix(".") }.map { name throws(Errno) in
            Input(name: name, bytes: try SmallFile.prefix(of: folder.appending(name), 65_536))
        }
    }
}

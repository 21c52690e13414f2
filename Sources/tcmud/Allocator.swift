import CAllocator
import Logging

/// Which allocator serves the process: librbd allocates dozens of times per command, on some hosts its speed is the
/// allocator's (docs/tuning.md), and nobody notices when another one has been preloaded.
enum Allocator {
    /// Says in the log where malloc comes from; a warning if it is not tcmalloc, with which the daemon is linked.
    static func report(to logger: Logger) {
        let file = callocator_file().map { String(cString: $0) } ?? "an unknown file"
        let version = callocator_tcmalloc_version().map { String(cString: $0) } ?? "of unknown version"
        if file.utf8.split(separator: UInt8(ascii: "/")).last?.starts(with: "libtcmalloc".utf8) ?? false {
            logger.info("allocator: tcmalloc", metadata: ["version": "\(version)", "file": "\(file)"])
        } else {
            logger.warning(
                """
                malloc comes from \(file), not from tcmalloc (\(version)), with which this daemon is linked: something \
                is preloaded. Expect another throughput from RBD images, and measure it
                """)
        }
    }
}

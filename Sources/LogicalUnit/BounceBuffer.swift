internal import Glibc

/// Memory for what a unit puts together itself, page-aligned so that O_DIRECT takes it. Rare commands only.
struct BounceBuffer: ~Copyable {
    let bytes: UnsafeMutableRawBufferPointer

    /// Zeroed memory; nil when there is none.
    init?(byteCount: Int) {
        let mapped = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped, mapped != MAP_FAILED else { return nil }
        bytes = UnsafeMutableRawBufferPointer(start: mapped, count: byteCount)
    }

    deinit {
        munmap(bytes.baseAddress, bytes.count)
    }

    /// Fills the whole of `bytes` with copies of its first `patternLength`.
    static func replicate(_ bytes: UnsafeMutableRawBufferPointer, patternLength: Int) {
        var filled = patternLength
        while filled < bytes.count {
            let take = min(filled, bytes.count - filled)
            UnsafeMutableRawBufferPointer(rebasing: bytes[filled..<filled + take])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<take]))
            filled += take
        }
    }
}

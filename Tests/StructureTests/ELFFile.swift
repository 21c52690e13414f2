import Glibc

/// As much of a 64-bit little-endian ELF file as its list of needed libraries takes (elf(5)).
struct ELFFile {
    private let bytes: [UInt8]

    struct Malformed: Error, CustomStringConvertible {
        let path: String
        var description: String { "\(path) is no 64-bit little-endian ELF file" }
    }

    init(path: String) throws {
        guard let file = fopen(path, "r") else { throw SourceTree.Unreadable(path: path) }
        defer { fclose(file) }
        fseek(file, 0, SEEK_END)
        let size = ftell(file)
        rewind(file)
        var content = [UInt8](repeating: 0, count: max(size, 0))
        let count = fread(&content, 1, content.count, file)
        guard count == content.count, content.prefix(6) == [0x7F, 0x45, 0x4C, 0x46, 2, 1] else {
            throw Malformed(path: path)
        }
        bytes = content
    }

    /// DT_NEEDED: the libraries that the dynamic linker loads for this file itself.
    func neededLibraries() -> [String] {
        var needed: [Int] = []
        var stringTable = 0
        guard let dynamic = segment(ofType: 2) else { return [] }
        for entry in stride(from: dynamic.offset, to: dynamic.offset + dynamic.size, by: 16) {
            switch integer(at: entry, bytes: 8) {
            case 1: needed.append(integer(at: entry + 8, bytes: 8))
            case 5: stringTable = fileOffset(ofAddress: integer(at: entry + 8, bytes: 8))
            default: break
            }
        }
        return needed.map { string(at: stringTable + $0) }
    }

    private func segment(ofType wanted: Int) -> (offset: Int, size: Int)? {
        programHeaders.first { integer(at: $0, bytes: 4) == wanted }.map {
            (integer(at: $0 + 8, bytes: 8), integer(at: $0 + 32, bytes: 8))
        }
    }

    /// Where in the file the byte lies that is loaded at `address`.
    private func fileOffset(ofAddress address: Int) -> Int {
        for header in programHeaders where integer(at: header, bytes: 4) == 1 {
            let start = integer(at: header + 16, bytes: 8)
            if address >= start && address < start + integer(at: header + 32, bytes: 8) {
                return integer(at: header + 8, bytes: 8) + address - start
            }
        }
        return 0
    }

    private var programHeaders: [Int] {
        let table = integer(at: 32, bytes: 8)
        let size = integer(at: 54, bytes: 2)
        return (0..<integer(at: 56, bytes: 2)).map { table + $0 * size }
    }

    private func integer(at offset: Int, bytes count: Int) -> Int {
        guard offset >= 0, offset + count <= bytes.count else { return 0 }
        return bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    private func string(at offset: Int) -> String {
        String(decoding: bytes[min(max(offset, 0), bytes.count)...].prefix { $0 != 0 }, as: UTF8.self)
    }
}

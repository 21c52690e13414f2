/// Numbers handed out lowest first, as the kernel hands out data blocks (a bitmap) and command ids (an xarray).
struct FirstFitBitmap: ~Copyable {
    private let words: UnsafeMutablePointer<UInt64>
    private let wordCount: Int
    /// No word before this one has a free bit, so a search starts here.
    private var lowest = 0
    /// How many numbers are free.
    private(set) var free: Int
    private let capacity: Int

    /// All of `0..<capacity` free.
    init(capacity: Int) {
        self.capacity = capacity
        wordCount = (capacity + 63) / 64
        words = .allocate(capacity: Swift.max(wordCount, 1))
        free = capacity
        words.initialize(repeating: 0, count: Swift.max(wordCount, 1))
        // Bits beyond the capacity count as taken for good.
        if capacity % 64 != 0 { words[wordCount - 1] = ~0 << UInt64(capacity % 64) }
    }

    deinit {
        words.deallocate()
    }

    /// Takes the lowest free number, or nil when none is left.
    mutating func take() -> Int? {
        while lowest < wordCount {
            let bits = words[lowest]
            if bits != ~0 {
                let bit = (~bits).trailingZeroBitCount
                words[lowest] = bits | (1 << UInt64(bit))
                free -= 1
                return lowest * 64 + bit
            }
            lowest += 1
        }
        return nil
    }

    /// Gives `number` back, which must be taken.
    mutating func giveBack(_ number: Int) {
        precondition(isTaken(number), "number \(number) given back twice")
        words[number / 64] &= ~(1 << UInt64(number % 64))
        lowest = Swift.min(lowest, number / 64)
        free += 1
    }

    /// True while `number` is handed out.
    func isTaken(_ number: Int) -> Bool {
        precondition(number >= 0 && number < capacity)
        return words[number / 64] & (1 << UInt64(number % 64)) != 0
    }
}

internal import BlockBackend
internal import Glibc

/// One bit per page of a memory unit: set where the page was written since it was last given back.
///
/// Itself memory that is taken as it is used: a thirty-two-thousandth of what the unit holds.
struct PageMap: ~Copyable {
    /// Bound: pages looked at by one survey, 16,384 words: a few microseconds of the loop's time.
    static let surveyedPages = 1 << 20

    private typealias Word = UInt64

    // SAFETY: `wordCount` words, zero at first; belongs to this value alone.
    private let words: UnsafeMutablePointer<Word>
    private let wordCount: Int
    private let pageSize: Int

    /// The map of `bytes` (at least 1), nothing written. Nil where the address space ends.
    init?(bytes: Int, pageSize: Int) {
        wordCount = (bytes - 1) / pageSize / Word.bitWidth + 1
        self.pageSize = pageSize
        let length = wordCount * MemoryLayout<Word>.size
        guard
            let start = mmap(
                nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
            start != UnsafeMutableRawPointer(bitPattern: -1)
        else { return nil }
        words = start.bindMemory(to: Word.self, capacity: wordCount)
    }

    deinit {
        munmap(words, wordCount * MemoryLayout<Word>.size)
    }

    /// Every page that the range touches now holds something. Bytes.
    func markWritten(from start: Int, count: Int) {
        guard count > 0 else { return }
        forEachWord(from: start / pageSize, through: (start + count - 1) / pageSize) { words[$0] |= $1 }
    }

    /// The pages of the range, which are whole, hold nothing any longer. Bytes.
    func markGivenBack(from start: Int, count: Int) {
        guard count >= pageSize else { return }
        forEachWord(from: start / pageSize, through: (start + count) / pageSize - 1) { words[$0] &= ~$1 }
    }

    /// Appends runs that cover the range from its start on, as far as `limit` and ``surveyedPages`` reach. Bytes.
    func report(from start: Int, count: Int, limit: Int, to survey: Survey) {
        guard count > 0 else { return }
        let last = min((start + count - 1) / pageSize, start / pageSize + PageMap.surveyedPages - 1)
        let end = start + count
        var page = start / pageSize
        while page <= last {
            let isMapped = isWritten(page)
            let from = max(page * pageSize, start)
            while page <= last && isWritten(page) == isMapped {
                // Whole words of one state are passed over at once.
                let word = words[page / Word.bitWidth]
                let isUniform = page % Word.bitWidth == 0 && word == (isMapped ? Word.max : 0)
                page += isUniform ? Word.bitWidth : 1
            }
            page = min(page, last + 1)
            // A page may end behind the unit's last byte: no product here is beyond what the unit's size allows.
            let to = page > last && last == (end - 1) / pageSize ? end : page * pageSize
            if !survey.append(from: UInt64(from), to: UInt64(to), isMapped: isMapped, limit: limit) { return }
        }
    }

    private func isWritten(_ page: Int) -> Bool {
        words[page / Word.bitWidth] & (1 << Word(page % Word.bitWidth)) != 0
    }

    /// Calls `body` with each word's index and the bits in it that stand for the pages `first` through `last`.
    private func forEachWord(from first: Int, through last: Int, _ body: (Int, Word) -> Void) {
        for index in first / Word.bitWidth...last / Word.bitWidth {
            var mask = Word.max
            if index == first / Word.bitWidth { mask &= Word.max << Word(first % Word.bitWidth) }
            if index == last / Word.bitWidth { mask &= Word.max >> Word(Word.bitWidth - 1 - last % Word.bitWidth) }
            body(index, mask)
        }
    }
}

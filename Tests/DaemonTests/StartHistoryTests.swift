import Glibc
import SystemPackage
import Testing

@testable import Daemon

@Suite("Pauses between starts that come one upon the other")
struct StartHistoryTests {
    @Test(
        "the first restarts follow at once, then the pauses grow to half a minute",
        arguments: zip(1...12, [0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30] as [Int64]))
    func pause(_ starts: Int, _ seconds: Int64) {
        #expect(StartHistory.Row(starts: starts, last: 0).pause == seconds)
    }

    @Test(
        "a life of a minute ends a row, and so does another boot",
        arguments: [
            (Int64(100), Int64(101), 5), (100, 160, 5), (100, 161, 1), (100, 99, 1), (100, 100, 5),
        ])
    func row(_ last: Int64, _ now: Int64, _ starts: Int) {
        #expect(StartHistory.Row(starts: 4, last: last).next(now).starts == starts)
    }

    @Test("the pause before a start is no part of its life")
    func longPause() {
        #expect(StartHistory.Row(starts: 10, last: 100).next(190).starts == 11)
        #expect(StartHistory.Row(starts: 10, last: 100).next(191).starts == 1)
    }

    @Test("kept in a file, until an orderly stop")
    func file() {
        let tree = KernelTree()
        let history = StartHistory(file: FilePath(tree.path).appending("run").appending("starts"))
        for (number, second) in (Int64(10)..<20).enumerated() {
            #expect(history.begin(second).starts == number + 1)
        }
        history.end()
        #expect(history.begin(21).starts == 1)
    }

    @Test(
        "what is no history is none",
        arguments: ["", "5", "0 1", "x 1\n", "5 -1", "5 1 1", "99999999999999999999 1"])
    func damaged(_ text: String) {
        let tree = KernelTree()
        tree.write(text, to: "starts")
        #expect(StartHistory(file: FilePath(tree.path).appending("starts")).begin(5).starts == 1)
    }
}

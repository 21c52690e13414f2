import Testing

@testable import RBDBackend

@Suite("What counts as a loss of the right to write")
struct WriteGenerationTests {
    enum Step: Sendable { case pause, resume, release, lose }

    @Test(
        arguments: [
            ("writes held back and let through again", [.pause, .resume], 0),
            ("a lock given back", [.pause, .release], 1),
            ("a lock given back and taken again", [.pause, .release, .resume], 1),
            ("a release before a claim", [.release], 0),
            ("two releases after one pause", [.pause, .release, .release], 1),
            ("held back, let through, then given back", [.pause, .resume, .pause, .release], 1),
            ("the image is lost", [.lose], 1),
            ("the image is lost while writes are held back", [.pause, .lose], 1),
        ] as [(String, [Step], UInt64)])
    func losses(title: String, steps: [Step], expected: UInt64) {
        var generation = WriteGeneration()
        for step in steps {
            switch step {
            case .pause: generation.pause()
            case .resume: generation.resume()
            case .release: generation.release()
            case .lose: generation.lose()
            }
        }
        #expect(generation.count == expected, "\(title)")
    }
}

import Logging
import Synchronization

/// Keeps what is logged.
final class LogRecorder: Sendable {
    private let state = Mutex<[String]>([])

    /// All lines so far, oldest first, each with its level in front.
    var lines: [String] { state.withLock { $0 } }

    func contains(_ words: String) -> Bool { lines.contains { $0.contains(words) } }

    /// A logger that keeps everything here.
    var logger: Logger { Logger(label: "test") { _ in Handler(recorder: self) } }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var metadata = Logger.Metadata()
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            recorder.state.withLock { $0.append("\(event.level): \(event.message)") }
        }
    }
}

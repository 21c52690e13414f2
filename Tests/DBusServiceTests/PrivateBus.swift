import Glibc
import Reactor
import Synchronization
import SystemPackage

@testable import DBusService

/// A bus of its own in a temporary folder, for as long as the value lives.
final class PrivateBus: Sendable {
    let folder: String
    var address: String { "unix:path=\(folder)/bus" }
    private let daemon = Mutex<pid_t>(0)

    /// Nil where there is no dbus-daemon.
    static let program: String? = ["/usr/bin/dbus-daemon", "/bin/dbus-daemon"].first { access($0, X_OK) == 0 }

    struct Failed: Error {}

    /// A folder with the bus's configuration; the bus itself is started by ``start()``.
    init() throws {
        var template = Array("/tmp/tcmu-bus-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failed() }
        folder = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let text = """
            <busconfig><type>session</type><listen>unix:path=\(folder)/bus</listen><auth>EXTERNAL</auth>
            <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
            <allow own="*"/></policy></busconfig>
            """
        guard let file = fopen("\(folder)/config", "w") else { throw Failed() }
        fputs(text, file)
        fclose(file)
    }

    deinit {
        stop()
        for name in ["bus", "config", "output"] { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }

    func start() throws {
        guard let program = Self.program else { throw Failed() }
        let started = try spawn([program, "--config-file=\(folder)/config", "--nofork", "--nopidfile"])
        daemon.withLock { $0 = started }
        try until("the bus listens") { access("\(folder)/bus", F_OK) == 0 }
    }

    func stop() {
        daemon.withLock { pid in
            guard pid != 0 else { return }
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
            pid = 0
        }
        unlink("\(folder)/bus")
    }

    /// Calls a method by dbus-send. Returns its output and status.
    func call(_ path: String, _ method: String, _ arguments: [String] = []) throws -> (text: String, status: Int32)
    {
        let output = "\(folder)/output"
        let pid = try spawn(
            [
                "/usr/bin/dbus-send", "--bus=\(address)", "--print-reply=literal", "--reply-timeout=20000",
                "--dest=\(DBusService.name)", path, method,
            ] + arguments, output: output)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        var text = ""
        if let file = fopen(output, "r") {
            var line = [CChar](repeating: 0, count: 4096)
            while fgets(&line, CInt(line.count), file) != nil {
                text += String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            }
            fclose(file)
        }
        return (text, status)
    }

    private func spawn(_ words: [String], output: String = "/dev/null") throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor in [CInt(1), 2] {
            posix_spawn_file_actions_addopen(
                &actions, descriptor, output, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600)
        }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        guard posix_spawn(&pid, words[0], &actions, nil, &arguments, environ) == 0 else { throw Failed() }
        return pid
    }
}

/// Waits for what must come, with a limit far beyond any machine's slowness.
func until(_ what: String, _ condition: () throws -> Bool) throws {
    for _ in 0..<6000 {
        if try condition() { return }
        usleep(5000)
    }
    throw NeverCame(what: what)
}

struct NeverCame: Error, CustomStringConvertible {
    let what: String
    var description: String { "never came: \(what)" }
}

extension DBusService {
    /// Goes on the bus on a thread of the test's, as the daemon does on its control thread.
    ///
    /// - Parameter gate: while it is shut the service reads nothing from the bus.
    static func run(
        _ subtypes: [ServedSubtype], options: Options, gate: Gate? = nil,
        report: @escaping @Sendable (BusEvent) -> Void
    ) -> DBusService? {
        guard let service = DBusService() else { return nil }
        let thread = OwnedThread(name: "test-bus") {
            let loop = service.makeLoop(subtypes, options: options, report: report)
            while let wait = loop.turn() {
                defer { gate?.wait() }
                var watched = wait.descriptors.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
                let limit = wait.limit.map { CInt(clamping: $0.components.seconds * 1000 + 10) } ?? -1
                poll(&watched, nfds_t(watched.count), wait.limit == .zero ? 0 : limit)
            }
        }
        thread?.detach()
        return thread == nil ? nil : service
    }
}

/// What the service has reported.
final class BusEvents: Sendable {
    private let events = Mutex<[BusEvent]>([])

    var all: [BusEvent] { events.withLock { $0 } }
    func add(_ event: BusEvent) { events.withLock { $0.append(event) } }
    func count(_ isWanted: (BusEvent) -> Bool) -> Int { all.count(where: isWanted) }
    var named: Int { count { $0 == .named } }
}

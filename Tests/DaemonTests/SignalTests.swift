import CLinux
import Glibc
import Synchronization
import Testing

@testable import Daemon

/// What signals do to a process stays with it: each of these has one of its own.
@Suite("Signals")
struct SignalTests {
    @Test(
        "only two end the daemon in order, two more ask it for something, a crash stays one, and all others are ignored",
        arguments: [
            (SIGTERM, SignalRule.request(.stop)), (SIGINT, .request(.stop)), (SIGUSR1, .request(.status)),
            (SIGHUP, .request(.reload)), (SIGPIPE, .ignored), (SIGUSR2, .ignored), (SIGALRM, .ignored),
            (SIGVTALRM, .ignored), (SIGPROF, .ignored), (SIGPOLL, .ignored), (SIGXFSZ, .ignored),
            (SIGXCPU, .ignored),
            (SIGTTIN, .ignored), (SIGTTOU, .ignored), (SIGTSTP, .ignored), (SIGQUIT, .ignored), (SIGPWR, .ignored),
            (SIGSEGV, .fatal), (SIGABRT, .fatal), (SIGBUS, .fatal), (SIGILL, .fatal), (SIGFPE, .fatal),
            (SIGTRAP, .fatal), (SIGSYS, .fatal), (SIGCHLD, .harmless), (SIGCONT, .harmless), (32, .ignored),
            (33, .ignored), (34, .ignored), (64, .ignored),
        ])
    func rule(_ signal: Int32, _ expected: SignalRule) {
        #expect(SignalRule(of: signal) == expected)
    }

    @Test("a process under the rules survives every signal from 1 to 64 that is no crash")
    func survives() async {
        await #expect(processExitsWith: .success) {
            _ = ProcessStart()
            for signal in SignalRule.all
            where SignalRule(of: signal) != .fatal && signal != SIGSTOP {
                precondition(kill(getpid(), signal) == 0, "signal \(signal) cannot be sent")
            }
        }
    }

    @Test("what was inherited as ignored or blocked is as the rules say")
    func inherited() async {
        await #expect(processExitsWith: .success) {
            for signal in SignalRule.all where signal != SIGKILL && signal != SIGSTOP {
                clinux_set_signal_disposition(signal, CLINUX_SIGNAL_IGNORED)
            }
            let everything = Array(SignalRule.all)
            clinux_block_only(everything, Int32(everything.count))
            _ = ProcessStart()
            for signal in SignalRule.all where signal != 32 && signal != 33 {
                let disposition = clinux_signal_disposition(signal)
                switch SignalRule(of: signal) {
                case .request:
                    #expect(disposition == CLINUX_SIGNAL_HANDLED.rawValue, "signal \(signal)")
                    #expect(clinux_signal_is_blocked(signal), "signal \(signal)")
                case .fatal, .harmless:
                    #expect(disposition == CLINUX_SIGNAL_DEFAULT.rawValue, "signal \(signal)")
                    #expect(!clinux_signal_is_blocked(signal), "signal \(signal)")
                case .ignored: #expect(disposition == CLINUX_SIGNAL_IGNORED.rawValue, "signal \(signal)")
                }
            }
        }
    }

    @Test("what was inherited as the default is set, too")
    func stock() async {
        await #expect(processExitsWith: .success) {
            for signal in SignalRule.all { clinux_set_signal_disposition(signal, CLINUX_SIGNAL_DEFAULT) }
            _ = ProcessStart()
            for signal in SignalRule.all where SignalRule(of: signal) == .ignored {
                #expect(
                    clinux_signal_disposition(signal) == CLINUX_SIGNAL_IGNORED.rawValue, "signal \(signal)")
            }
        }
    }

    @Test("a stop is asked for once; a second SIGTERM and SIGHUP are lines in the log, SIGUSR1 a status")
    func requests() async {
        await #expect(processExitsWith: .success) {
            _ = ProcessStart()
            let log = LogRecorder()
            let signals = try SignalListener(logger: log.logger)
            let stops = Atomic<Int>(0)
            let listening = Task(executorPreference: ControlThread.shared) {
                await signals.listen { stops.add(1, ordering: .relaxed) }
            }
            // To the thread that reads them: threads of a test's process were there before the rules, and take signals of the
            // whole process.
            func send(_ signal: Int32) async {
                await Task(executorPreference: ControlThread.shared) { _ = pthread_kill(pthread_self(), signal) }
                    .value
            }
            func ask(_ signal: Int32, _ words: String) async {
                await send(signal)
                let heard = await BlockingCall.wait(atMost: .seconds(20)) { log.contains(words) }
                #expect(heard, "nothing like \(words) after signal \(signal): \(log.lines)")
            }
            await ask(SIGHUP, "SIGHUP from process \(getpid()): nothing to read or open again")
            await ask(SIGTERM, "SIGTERM from process \(getpid()): stopping in order")
            await ask(SIGINT, "SIGINT from process \(getpid()): stopping already")
            #expect(stops.load(ordering: .relaxed) == 1)
            await send(SIGUSR1)
            var statuses = signals.statusRequests.makeAsyncIterator()
            #expect(await statuses.next() != nil)
            listening.cancel()
        }
    }
}

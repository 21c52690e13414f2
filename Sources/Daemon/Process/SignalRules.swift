internal import CLinux
internal import Glibc

/// What each signal does to the daemon. Nothing ends it but SIGTERM and SIGINT, and these in order.
///
/// A daemon that is ended by a signal that somebody took for harmless (SIGHUP by log rotation, SIGUSR2 by habit, a timer or a
/// CPU limit inherited from a parent) leaves every disk of the host hanging. So the rule is: a signal that is not named
/// here is ignored.
enum SignalRule: Equatable {
    /// Taken by the control plane, in its own time, from a descriptor: blocked in every thread.
    case request(SignalRequest)
    /// A defect of the process, or an end that nobody can refuse: the kernel's default.
    case fatal
    /// The kernel's default, which ends nothing and which libraries count on (libkmod waits for children, which an ignored
    /// SIGCHLD takes away).
    case harmless
    /// Ignored: what it would tell comes as an error code (SIGPIPE, SIGXFSZ), or nobody here has asked for it.
    case ignored

    /// Signals there are: 1 to 64 on every architecture of Linux that Swift knows.
    static let all: ClosedRange<Int32> = 1...64

    /// That of a signal's number.
    init(of signal: Int32) {
        switch signal {
        case SIGTERM, SIGINT: self = .request(.stop)
        case SIGUSR1: self = .request(.status)
        case SIGHUP: self = .request(.reload)
        case SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGKILL: self = .fatal
        case SIGCHLD, SIGCONT, SIGSTOP, SIGURG, SIGWINCH: self = .harmless
        default: self = .ignored
        }
    }

    /// Signals that are requests.
    static let requests: [Int32] = all.filter {
        if case .request = SignalRule(of: $0) { true } else { false }
    }

    /// Sets all signals as the rules say, whatever this process inherited: nohup, a shell's background, timers and masks of
    /// a parent. Before there is a second thread: threads inherit the mask.
    static func enforce() {
        for signal in all {
            switch SignalRule(of: signal) {
            case .request:
                // With a handler, so that it is not dropped, and does nothing in a thread that lets it through.
                clinux_set_signal_disposition(signal, CLINUX_SIGNAL_HANDLED)
            case .fatal, .harmless:
                // A runtime's own handler, for backtraces, stays. SIGKILL and SIGSTOP cannot be set.
                if clinux_signal_disposition(signal) == CLINUX_SIGNAL_IGNORED.rawValue {
                    clinux_set_signal_disposition(signal, CLINUX_SIGNAL_DEFAULT)
                }
            case .ignored:
                // Two signals are glibc's own, and it may have taken them already.
                let isLibrarys = signal == 32 || signal == 33
                if isLibrarys && clinux_signal_disposition(signal) == CLINUX_SIGNAL_HANDLED.rawValue { continue }
                clinux_set_signal_disposition(signal, CLINUX_SIGNAL_IGNORED)
            }
        }
        clinux_block_only(requests, Int32(requests.count))
    }
}

/// What a signal asks the daemon for.
enum SignalRequest: Equatable, Sendable {
    /// To stop in order.
    case stop
    /// To write a line per device into the log.
    case status
    /// Habit of log rotation and of "reload": nothing is to be read or opened again.
    case reload
}

/// A request that came as a signal.
struct ReceivedSignal: Equatable, Sendable, CustomStringConvertible {
    let number: Int32
    /// The process that sent it; 0 is the kernel, a terminal, or a process of another PID namespace.
    let sender: Int32

    /// What is asked for; nil for a signal that is no request.
    var request: SignalRequest? {
        if case .request(let request) = SignalRule(of: number) { request } else { nil }
    }

    /// `SIGHUP from process 4711`.
    var description: String {
        let name =
            switch number {
            case SIGTERM: "SIGTERM"
            case SIGINT: "SIGINT"
            case SIGHUP: "SIGHUP"
            case SIGUSR1: "SIGUSR1"
            default: "signal \(number)"
            }
        return sender > 0 ? "\(name) from process \(sender)" : name
    }
}

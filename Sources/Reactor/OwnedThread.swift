internal import CLinux
internal import Glibc

/// A thread that belongs to one owner: named, with every signal blocked, joined exactly once.
///
/// Loop threads and blocking librbd calls run on these instead of on Swift's cooperative pool, which has one
/// thread per core and must never be held up. Signals stay with the control plane's threads.
public final class OwnedThread: Sendable {
    private let handle: pthread_t

    /// Starts a thread that runs `body` once.
    ///
    /// - Parameters:
    ///   - name: shown by `ps -L` and `top -H`; the kernel keeps its first 15 bytes.
    ///   - cpu: the CPU that the thread stays on; nil, or one that this process may not use, leaves it to the scheduler,
    ///     also where the starting thread stays on one.
    ///   - body: the thread's whole work; the thread ends when it returns.
    /// - Returns: nil where the system has no thread left to give (EAGAIN).
    public init?(name: String, cpu: Int? = nil, body: @escaping @Sendable () -> Void) {
        let start = Unmanaged.passRetained(ThreadStart(name: name, cpu: cpu, body: body))
        var handle = pthread_t()
        // The thread inherits the mask: there is no instruction of its own at which a signal could hit it.
        var everything = sigset_t()
        var before = sigset_t()
        sigfillset(&everything)
        pthread_sigmask(SIG_SETMASK, &everything, &before)
        let outcome = pthread_create(&handle, nil, runOwnedThread, start.toOpaque())
        pthread_sigmask(SIG_SETMASK, &before, nil)
        guard outcome == 0 else {
            start.release()
            return nil
        }
        self.handle = handle
    }

    /// Waits until the thread's body has returned. To be called once, from another thread.
    public func join() {
        pthread_join(handle, nil)
    }

    /// Lets the thread go: its resources are freed when its body returns. Instead of ``join()``.
    public func detach() {
        pthread_detach(handle)
    }

    /// The calling thread's identity, for ``OwnerCheck``.
    static var current: pthread_t { pthread_self() }
}

private final class ThreadStart: Sendable {
    let name: String
    let cpu: Int?
    let body: @Sendable () -> Void

    init(name: String, cpu: Int?, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.cpu = cpu
        self.body = body
    }
}

/// Entry point handed to pthread_create. A top-level function: a closure literal would carry an isolation
/// check that crashes on a thread which Swift did not start.
private func runOwnedThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let start = Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
    clinux_set_thread_name(start.name)
    if let cpu = start.cpu {
        _ = clinux_stay_on_cpu(CInt(clamping: cpu))
    } else {
        // A loop on a CPU of its own starts keepers, and those librbd's threads: none of them belongs there.
        clinux_use_process_cpus()
    }
    start.body()
    return nil
}

internal import CLinux

/// The clock of the data path: milliseconds of CLOCK_MONOTONIC_COARSE, read once per batch, no system call.
public enum CoarseClock {
    /// Milliseconds since an arbitrary start; steps of 1 to 4 ms.
    public static var milliseconds: Int64 { clinux_coarse_milliseconds() }
}

/// The clock for waits of microseconds, read around a sleep and while a loop watches for work, never per command.
public enum FineClock {
    /// Nanoseconds of CLOCK_MONOTONIC since an arbitrary start; no system call where the clock source allows it.
    public static var nanoseconds: Int64 { clinux_nanoseconds() }

    /// Tells the CPU that this is a waiting loop: it saves power and leaves the other hyperthread its units.
    @inline(__always)
    public static func relax() { clinux_relax() }
}

internal import CLinux

/// The clock of the data path: milliseconds of CLOCK_MONOTONIC_COARSE, read once per batch, no system call.
public enum CoarseClock {
    /// Milliseconds since an arbitrary start; steps of 1 to 4 ms.
    public static var milliseconds: Int64 { clinux_coarse_milliseconds() }
}

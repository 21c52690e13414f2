/// Whether the times after which Ceph, kernel and initiators give up a command are in the right order, and what to change.
///
/// A command must be answered, be it by BUSY, by who is nearest to the medium first: then the next one above knows what
/// became of it. In order: Ceph (`osd_op_timeout`), the kernel (`cmd_time_out`), the initiator. Before that a command may
/// wait in the kernel for room (`qfull_time_out`). All times are seconds. Nothing here traps, whatever the settings are.
struct TimeoutLadder: Equatable, Sendable {
    /// The times that count. The defaults are the kernel's.
    struct Settings: Equatable, Sendable {
        /// After which an operation that no OSD answers fails (`osd_op_timeout` in force); nil for a backend without.
        var operation: Int?
        /// Nothing ends an operation that the storage does not answer: a file system or a disk that hangs.
        var mayHang = false
        /// After which the kernel gives up a command that the daemon has (`attrib/cmd_time_out`); 0 is never.
        var command = 30
        /// How long a command waits for room in the ring (`attrib/qfull_time_out`); -1 is as long as `command`, or 30 where
        /// that is 0.
        var queueFull = -1
        /// After which the daemon tells of a late command (`tcmur_cmd_time_out`); nil is never.
        var late: Int?
        /// How long initiators are told that a change of paths may take (`implicit_trans_secs`); nil where they are not.
        var transition: Int?
    }

    /// A step of the ladder that is at the wrong height.
    enum Finding: Equatable, Sendable {
        /// The kernel gives up commands before Ceph has: initiators see errors for what may still be carried out.
        case kernelBeforeCeph(command: Int, operation: Int)
        /// The kernel gives up commands of a file system or disk that hangs: initiators see errors for what may still be
        /// carried out.
        case kernelBeforeDisk(command: Int)
        /// Initiators give up commands, reset and log out, before the daemon can answer.
        case initiatorBeforeCeph(waiting: Int, operation: Int)
        /// The daemon takes commands for stuck, and answers BUSY to others, before Ceph has given them up.
        case lateBeforeCeph(late: Int, operation: Int)
        /// Initiators give up a change of paths before Ceph has given up one operation of it.
        case transitionBeforeCeph(transition: Int, operation: Int)
        /// Initiators give up commands that still wait for room in the ring.
        case initiatorBeforeRoom(waiting: Int)
    }

    /// After which initiators give up a command. Linux' sd waits 30 s and asks the target then whether it still has the
    /// command, Windows 60 s (65 with Ceph's advice), ESXi at least 60 s; then they abort, reset the unit, drop the session.
    static let initiatorPatience = 60

    /// What is wrong, the worst first; empty for ceph-iscsi's own values (30, 0 and 5).
    let findings: [Finding]

    /// Checks the settings against each other.
    init(_ settings: Settings) {
        // Bound: a century; keeps the sum of absurd values from overflowing.
        func bounded(_ seconds: Int) -> Int { min(max(seconds, 0), 3_155_760_000) }
        let command = bounded(settings.command)
        let waiting = settings.queueFull < 0 ? (command > 0 ? command : 30) : bounded(settings.queueFull)
        var findings: [Finding] = []
        guard let operation = settings.operation.map(bounded), operation > 0 else {
            if settings.mayHang && command > 0 { findings.append(.kernelBeforeDisk(command: command)) }
            if waiting >= Self.initiatorPatience { findings.append(.initiatorBeforeRoom(waiting: waiting)) }
            self.findings = findings
            return
        }
        if command > 0 && command <= operation {
            findings.append(.kernelBeforeCeph(command: command, operation: operation))
        }
        if operation + waiting >= Self.initiatorPatience {
            findings.append(.initiatorBeforeCeph(waiting: waiting, operation: operation))
        }
        if let late = settings.late.map(bounded), late > 0, late < operation {
            findings.append(.lateBeforeCeph(late: late, operation: operation))
        }
        if let transition = settings.transition.map(bounded), transition > 0, transition < min(operation, 255) {
            findings.append(.transitionBeforeCeph(transition: transition, operation: operation))
        }
        self.findings = findings
    }

    /// One line for each finding: what is wrong, what comes of it, and what to change.
    var lines: [String] { findings.map(Self.line) }

    private static func line(_ finding: Finding) -> String {
        switch finding {
        case .kernelBeforeCeph(let command, let operation):
            """
            cmd_time_out is \(command) s, and Ceph may take \(operation) s (osd_op_timeout): the kernel fails commands \
            that are still carried out. Set the attribute cmd_time_out to 0, or to more than \(operation)
            """
        case .kernelBeforeDisk(let command):
            """
            cmd_time_out is \(command) s, and nothing ends what a file system or disk does not answer: the kernel fails \
            commands that may still be carried out, and until they come back the LUN answers BUSY. Set the attribute \
            cmd_time_out to 0 to have initiators wait instead
            """
        case .initiatorBeforeCeph(let waiting, let operation):
            """
            a command may wait \(waiting) s for room (qfull_time_out) and \(operation) s for Ceph (osd_op_timeout), and \
            initiators give it up after \(initiatorPatience) s and reset: \(remedy(waiting, operation))
            """
        case .lateBeforeCeph(let late, let operation):
            """
            tcmur_cmd_time_out is \(late) s, and Ceph may take \(operation) s (osd_op_timeout): slow commands are taken \
            for stuck ones. Set it to more than \(operation), or leave it out
            """
        case .transitionBeforeCeph(let transition, let operation):
            """
            initiators give a change of paths \(transition) s (implicit_trans_secs of its groups), and Ceph may take \
            \(operation) s (osd_op_timeout) for one operation of it: make it \(min(operation + 15, 255))
            """
        case .initiatorBeforeRoom(let waiting):
            """
            a command may wait \(waiting) s for room (qfull_time_out), and initiators give it up after \
            \(initiatorPatience) s and reset: set the attribute qfull_time_out to 5
            """
        }
    }

    /// What has to become shorter: the wait for room where that is enough.
    private static func remedy(_ waiting: Int, _ operation: Int) -> String {
        if operation + 5 < initiatorPatience { return "set the attribute qfull_time_out to 5" }
        let both = waiting > 5 ? "set the attribute qfull_time_out to 5, and " : ""
        return both
            + "make osd_op_timeout less than \(initiatorPatience - min(waiting, 5)), or the initiators' longer"
    }
}

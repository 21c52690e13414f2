import RBDBackend
import Testing

/// What needs no cluster.
@Suite("Steps of a claim")
struct ClaimTests {
    private static let other = LockHolder.other(name: "10.0.0.1:0/1", isDead: false)

    @Test(
        "what comes after what",
        arguments: [
            (
                "an owner that gave the lock back and has it again is asked once more",
                [.claim, .foundOwner(other), .replied(.released), .foundOwner(other)], [.askOwner]
            ),
            (
                "and fenced when it says so twice",
                [
                    .claim, .foundOwner(other), .replied(.released), .foundOwner(other), .replied(.released),
                    .foundOwner(other),
                ],
                [.breakLock]
            ),
            (
                "another owner is asked for itself",
                [
                    .claim, .foundOwner(other), .replied(.released), .foundOwner(other), .replied(.released),
                    .foundOwner(.other(name: "10.0.0.1:0/2", isDead: false)),
                ], [.askOwner]
            ),
            ("a lock of one's own is given back first", [.claim, .foundOwner(.me)], [.release]),
            ("and then looked at", [.claim, .foundOwner(.me), .released(0)], [.lookUpOwner]),
            (
                "an acquire that timed out is followed by giving back",
                [.claim, .foundOwner(.nobody), .acquired(110), .doubt, .checked(.fine), .claim], [.release]
            ),
            (
                "who is asked meanwhile gives back what may be there",
                [.claim, .foundOwner(.nobody), .acquired(110), .doubt, .checked(.fine), .peerAsks], [.release]
            ),
            (
                "what cannot be given back is left to a new client",
                [.claim, .foundOwner(.me), .released(5)],
                [.shut, .note(.lost(5, wasOwner: false)), .tell(.recovering(5)), .reopen]
            ),
            (
                "an owner with nothing written gives back, and nobody is told a thing",
                [
                    .claim, .foundOwner(.nobody), .acquired(0), .timer, .checked(.fine), .timer, .wrote(0),
                    .drained(clean: true), .released(0),
                ],
                [.rearm, .note(.gaveIdleLock)]
            ),
            (
                "with something written it keeps the lock",
                [.claim, .foundOwner(.nobody), .acquired(0), .timer, .checked(.fine), .timer, .wrote(1)], []
            ),
            (
                "a write that takes longer than the idle time keeps the lock, and no gate is closed for it",
                [.claim, .foundOwner(.nobody), .acquired(0), .timer, .checked(.fine), .timer, .writing], []
            ),
            (
                "what has begun since it was counted keeps the lock, and no gate was closed for it",
                [
                    .claim, .foundOwner(.nobody), .acquired(0), .timer, .checked(.fine), .timer, .wrote(0),
                    .writing,
                ],
                []
            ),
            (
                "with a write under way it goes on",
                [
                    .claim, .foundOwner(.nobody), .acquired(0), .timer, .checked(.fine), .timer, .wrote(0),
                    .drained(clean: false),
                ],
                [.openGate]
            ),
        ] as [(String, [OwnershipEvent], [OwnershipAction])])
    func steps(title: String, events: [OwnershipEvent], expected: [OwnershipAction]) {
        var machine = OwnershipMachine()
        var now: Int64 = 0
        var actions: [OwnershipAction] = []
        for event in events {
            if event == .timer { now = machine.deadline ?? now }
            actions = machine.handle(event, now: now)
        }
        #expect(actions.filter { if case .count = $0 { false } else { true } } == expected, "\(title)")
    }
}

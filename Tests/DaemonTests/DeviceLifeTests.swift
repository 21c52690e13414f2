import Testing

@testable import Daemon

/// Events of a device's life, as the tests name them.
enum LifeEvent: CaseIterable {
    case opened, openFailed, deadlinePassed, retryDue, removed, ringLost, recovered, servedBefore

    func apply(to life: inout DeviceLife) -> DeviceLife.Action {
        switch self {
        case .opened: return life.opened()
        case .openFailed: return life.openFailed()
        case .deadlinePassed: return life.deadlinePassed()
        case .retryDue: return life.retryDue()
        case .removed: return life.removed()
        case .ringLost: return life.ringLost()
        case .recovered: return life.recovered()
        case .servedBefore:
            life.servedBefore()
            return .none
        }
    }
}

@Suite("The life of a device")
struct DeviceLifeTests {
    struct Path: CustomTestStringConvertible {
        let testDescription: String
        let origin: DeviceLife.Origin
        let steps: [(LifeEvent, DeviceLife.Action)]
        let end: DeviceLife.State

        init(
            _ title: String, existing: Bool = false, _ steps: [(LifeEvent, DeviceLife.Action)],
            end: DeviceLife.State
        ) {
            testDescription = title
            origin = existing ? .existing : .added
            self.steps = steps
            self.end = end
        }
    }

    static let paths: [Path] = [
        Path("opens and is removed", [(.opened, .serve), (.removed, .drain)], end: .closing),
        Path("cannot be opened: the kernel is told", [(.openFailed, .refuse)], end: .gone),
        Path(
            "an existing device that cannot be opened stays and is tried again", existing: true,
            [(.openFailed, .retry), (.retryDue, .open), (.opened, .serve)], end: .serving),
        Path(
            "an existing device waits for its retry and is removed", existing: true,
            [(.openFailed, .retry), (.removed, .answer), (.retryDue, .none)], end: .gone),
        Path(
            "a hung open: the kernel is told in time, a late success is undone",
            [(.deadlinePassed, .timeOut), (.opened, .discard)], end: .closing),
        Path("a hung open that fails late", [(.deadlinePassed, .timeOut), (.openFailed, .none)], end: .gone),
        Path(
            "removed while opening: answered at once, closed when the open ends",
            [(.removed, .answer), (.opened, .discard)], end: .closing),
        Path("removed while opening, and the open fails", [(.removed, .answer), (.openFailed, .none)], end: .gone),
        Path(
            "a time limit that passes after the open", [(.opened, .serve), (.deadlinePassed, .none)], end: .serving),
        Path(
            "another daemon has answered for it: it stays, and is tried again",
            [(.servedBefore, .none), (.deadlinePassed, .none), (.openFailed, .retry), (.retryDue, .open)],
            end: .opening),
        Path("existing devices have no time limit", existing: true, [(.deadlinePassed, .none)], end: .opening),
        Path(
            "a lost ring is replaced", [(.opened, .serve), (.ringLost, .recover), (.recovered, .serve)],
            end: .serving),
        Path(
            "a ring is lost once", [(.opened, .serve), (.ringLost, .recover), (.ringLost, .none)], end: .recovering),
        Path(
            "removed while recovering: answered at once, the recovery gives up",
            [(.opened, .serve), (.ringLost, .recover), (.removed, .answer), (.recovered, .none)], end: .abandoned),
        Path(
            "a ring lost while closing", [(.opened, .serve), (.removed, .drain), (.ringLost, .none)], end: .closing),
        Path("removed twice", [(.opened, .serve), (.removed, .drain), (.removed, .answer)], end: .closing),
    ]

    @Test("follows the path", arguments: paths)
    func follows(path: Path) {
        var life = DeviceLife(origin: path.origin)
        for (number, (event, expected)) in path.steps.enumerated() {
            #expect(event.apply(to: &life) == expected, "step \(number + 1), \(event)")
        }
        #expect(life.state == path.end)
    }

    /// Whatever happens in whatever order: the kernel's ADDED is answered at most once, and never after a removal was
    /// answered without draining; a unit that nobody serves is always given back.
    @Test("every sequence of six events keeps its promises")
    func everySequence() {
        for origin in [DeviceLife.Origin.added, .existing] {
            walk(DeviceLife(origin: origin), depth: 6, answers: 0, path: [])
        }
    }

    private func walk(_ life: DeviceLife, depth: Int, answers: Int, path: [LifeEvent]) {
        guard depth > 0 else { return }
        for event in LifeEvent.allCases {
            var next = life
            let action = event.apply(to: &next)
            let here = path + [event]
            var answered = answers
            if life.origin == .added, [.serve, .serveAndRecover, .refuse, .timeOut].contains(action),
                event != .recovered
            {
                answered += 1
            }
            #expect(answered <= 1, "\(here)")
            if action == .drain { #expect(life.state == .serving, "\(here)") }
            if event == .opened { #expect([.serve, .serveAndRecover, .discard].contains(action), "\(here)") }
            if action == .retry { #expect(life.origin == .existing, "\(here)") }
            if life.state == .gone { #expect(next.state == .gone, "\(here)") }
            walk(next, depth: depth - 1, answers: answered, path: here)
        }
    }
}

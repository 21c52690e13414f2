internal import BlockBackend
internal import LogicalUnit
internal import Synchronization

/// What a unit has told and its device has not heard yet. Any thread may put something in, and never waits.
///
/// Bounded without losing what must not be lost: a word that says how things stand replaces the one before it, one that the unit
/// waits to have answered is kept, and of those that are only for the log a few of each kind are kept and the others counted.
final class UnitInbox: Sendable {
    /// Something has been put in; ends with ``finish()``, after what was in. One reader.
    let signals: AsyncStream<Void>
    private let bell: AsyncStream<Void>.Continuation
    private let content = Mutex(Content())

    private struct Content {
        var events: [UnitEvent] = []
        /// Of each kind: waiting in `events`, and left out since.
        var told: [UnitEvent.Line: (kept: Int, missed: Int)] = [:]
    }

    /// Bound: lines of one kind that wait; more would be left out of the log all the same.
    static let linesOfAKind = 8

    init() {
        (signals, bell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Puts an event in, in order.
    func put(_ event: UnitEvent) {
        content.withLock { content in
            switch event.duty {
            case .latest(let subject):
                var event = event
                if let old = content.events.firstIndex(where: { $0.duty == .latest(subject) }) {
                    event = event.after(content.events.remove(at: old))
                }
                content.events.append(event)
            case .each: content.events.append(event)
            case .line(let line):
                if content.told[line, default: (0, 0)].kept < Self.linesOfAKind {
                    content.told[line, default: (0, 0)].kept += 1
                    content.events.append(event)
                } else {
                    content.told[line, default: (0, 0)].missed += 1
                }
            }
        }
        bell.yield()
    }

    /// Takes everything, in order, and how many lines of each kind were left out.
    func take() -> (events: [UnitEvent], missed: [UnitEvent.Line: Int]) {
        content.withLock { content in
            defer { content = Content() }
            return (content.events, content.told.compactMapValues { $0.missed > 0 ? $0.missed : nil })
        }
    }

    /// No more is heard after what is in.
    func finish() {
        bell.finish()
    }
}

extension UnitEvent {
    /// What becomes of an event that waits while others come.
    enum Duty: Equatable {
        /// It says how things stand: the last word on its subject counts.
        case latest(Subject)
        /// The unit waits for an answer to it, and tells no other meanwhile.
        case each
        /// It is for the log.
        case line(Line)
    }

    /// What a device must know the last word of.
    enum Subject: Equatable {
        case ring, ringGone, facts, availability, size
    }

    /// Kinds of lines, each with a measure of its own: one that floods takes nothing from the others.
    enum Line: Hashable, CaseIterable {
        case taskManagement, late, lateAnswered, unsupported, buffer, segments, erasure, space, backend, remark
        /// Not of an event, but of what it leads to.
        case accessStates, modes, facts

        /// What is counted when lines are left out.
        var words: String {
            switch self {
            case .taskManagement: "task management functions"
            case .late: "reports of late commands"
            case .lateAnswered: "ends of late commands"
            case .unsupported: "commands that are not supported"
            case .buffer: "buffers of another length"
            case .segments: "commands in too many pieces"
            case .erasure: "erasures that did not end"
            case .space: "reports of space"
            case .backend: "errors of the backend"
            case .remark: "remarks of the backend"
            case .accessStates: "changes of access states"
            case .modes: "changes of mode parameters"
            case .facts: "failures to read configfs"
            }
        }
    }

    /// The last word, with what the one before it asked for and has not got.
    fileprivate func after(_ earlier: UnitEvent) -> UnitEvent {
        guard case .factsNeeded(let request) = self, case .factsNeeded(let before) = earlier else { return self }
        return .factsNeeded(before.joined(request))
    }

    var duty: Duty {
        switch self {
        case .ringFailed: .latest(.ring)
        case .ringGone: .latest(.ringGone)
        case .factsNeeded: .latest(.facts)
        case .accessStatesWanted, .modeParametersChanged, .erasureChanged: .each
        case .backend(.availability): .latest(.availability)
        case .backend(.sizeDiffers): .latest(.size)
        case .backend(.remark): .line(.remark)
        case .taskManagement: .line(.taskManagement)
        case .commandsLate: .line(.late)
        case .lateCommandsAnswered: .line(.lateAnswered)
        case .unsupportedOperation: .line(.unsupported)
        case .shortBuffer: .line(.buffer)
        case .tooManySegments: .line(.segments)
        case .erasureFailed: .line(.erasure)
        case .spaceLow, .spaceUnknown: .line(.space)
        case .backendError: .line(.backend)
        }
    }
}

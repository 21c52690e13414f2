internal import Logging
internal import LogicalUnit
internal import SystemPackage
internal import TCMURing

/// What the unit tells: everything comes through here, and no kind of it can fill the log.
extension Device {
    func listen() async {
        for await _ in inbox.signals {
            let (events, missed) = inbox.take()
            for event in events { hear(event) }
            for (line, count) in missed { leaveOut(line, measure.add(count, to: line, at: .now)) }
        }
        for (line, count) in measure.closeAll() { tell(line, count) }
    }

    private func hear(_ event: UnitEvent) {
        switch event.duty {
        case .latest, .each: handle(event)
        case .line(let line): say(line) { handle(event) }
        }
    }

    /// Has `body` log a line of a kind, if there is room for one.
    func say(_ line: UnitEvent.Line, _ body: () -> Void) {
        switch measure.admit(line, at: .now) {
        case .log: body()
        case let verdict: leaveOut(line, verdict)
        }
    }

    private func leaveOut(_ line: UnitEvent.Line, _ verdict: LogMeasure.Verdict) {
        guard case .leaveOutFirst(let end) = verdict else { return }
        Task(executorPreference: ControlThread.shared) {
            try? await ControlThread.sleep(for: max(end - .now, .zero))
            await self.endWindow(line)
        }
    }

    private func endWindow(_ line: UnitEvent.Line) {
        tell(line, measure.close(line))
    }

    private func tell(_ line: UnitEvent.Line, _ missed: Int) {
        guard missed > 0 else { return }
        logger.notice("\(label): \(missed) more \(line.words) within a minute, not told one by one")
    }

    private func handle(_ event: UnitEvent) {
        switch event {
        case .ringFailed(let error):
            logger.critical("\(label): impossible ring: \(error). The unit is blocked and its ring reset")
            if life.ringLost() == .recover { startRecovery() }
        case .factsNeeded(let request): startReadingFacts(request)
        case .modeParametersChanged(let parameters):
            Task(executorPreference: ControlThread.shared) { await self.keep(parameters) }
        case .erasureChanged(let erasure):
            Task(executorPreference: ControlThread.shared) { await self.keep(erasure) }
        case .accessStatesWanted(let plan):
            Task(executorPreference: ControlThread.shared) { await self.changeAccessStates(plan) }
        case .ringGone:
            // After a removal this is no news. Without one (netlink was blocked) nobody else will tell.
            guard life.state != .closing && life.state != .gone else { return }
            logger.notice("\(label): has vanished without a word; closed")
            Task(executorPreference: ControlThread.shared) { await self.remove(nil) }
        case .taskManagement(let name, let commands):
            logger.notice("\(label): \(name) for \(commands) commands in flight")
        case .commandsLate(let cdb, let count, let milliseconds):
            logger.error(
                """
                \(label): \(count) commands not answered within \(milliseconds) ms, first of them [\(cdb)]; further \
                ones get BUSY until they are
                """)
        case .lateCommandsAnswered: logger.notice("\(label): all late commands are answered")
        case .unsupportedOperation(let cdb): logger.info("\(label): [\(cdb)] is not supported")
        case .shortBuffer(let cdb, let expected, let delivered):
            logger.error("\(label): [\(cdb)] came with \(delivered) bytes of buffer, expected \(expected)")
        case .tooManySegments(let count):
            logger.error("\(label): a command in \(count) pieces, at most \(Limits.segments) are taken")
        case .erasureFailed(let cdb, let errno):
            logger.error(
                """
                \(label): [\(cdb)] did not reach its end: \(Errno(rawValue: errno)). The medium holds neither what it did \
                nor what it should; initiators get MEDIUM ERROR until the command is repeated
                """)
        case .spaceLow(let available, let threshold):
            logger.warning(
                """
                \(label): \(available) bytes of space left, less than the soft threshold of \(threshold); initiators are \
                told by a unit attention. Make room before writes fail
                """)
        case .spaceUnknown(let errno):
            logger.warning(
                """
                \(label): how much space is left cannot be found out: \(Errno(rawValue: errno)). Initiators are not told \
                before writes fail
                """)
        case .backend(let notice): hear(notice)
        case .backendError(let cdb, let errno):
            logger.error("\(label): [\(cdb)] failed: \(Errno(rawValue: errno))")
        }
    }
}

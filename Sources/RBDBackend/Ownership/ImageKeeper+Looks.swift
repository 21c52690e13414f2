/// What brings the keeper of an image that librbd does not watch to look at it.
extension ImageKeeper {
    /// The header has changed; whoever changed it waits until `acknowledge` is called. On librados' thread.
    ///
    /// The answer comes after the look, so that once `rbd snap rm` or `rbd resize` has returned no read is answered
    /// with what is not there any longer.
    func headerChanged(_ acknowledge: @escaping @Sendable () -> Void) {
        // Bound: whoever may write to the pool may notify, as often as it likes.
        let isTaken = queue.change { waiting in
            guard life.surroundings != nil, !life.isStopping, waiting.count < 1000 else { return false }
            put(.changed(acknowledge), into: &waiting)
            return life.isRunning
        }
        if !isTaken { acknowledge() }
    }

    /// One look for all changes that wait for one.
    func lookAtChange(_ acknowledge: () -> Void) {
        let others = queue.change { waiting in
            let others = waiting
            waiting.removeAll { if case .changed = $0 { true } else { false } }
            return others
        }
        drive(.doubt)
        acknowledge()
        for case .changed(let acknowledge) in others { acknowledge() }
    }
}

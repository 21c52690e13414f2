internal import BlockBackend
internal import CRBD
internal import Glibc
internal import Reactor
internal import Synchronization
internal import SystemPackage

/// One session after the other: how the image is opened again, and what becomes of the client that had it.
extension ImageKeeper {
    /// Opens the image on a new connection, and puts it in the place of the old one.
    func reopen() -> ImageState {
        if isStopping { return .failed(ECANCELED) }
        do throws(BackendError) {
            let mustFence = machine.isTainted || session.hasUncertainWrites
            // A group's connection is shared, and what is opened next would be barred with it: first, so that the group
            // connects anew.
            if mustFence, options.connectionGroup != nil, let own = session.cluster { try session.fence(by: own) }
            var notes: [String] = []
            let image = try RBDBackend.connectAndOpen(options, &notes)
            let cluster = image.context.cluster
            guard session.isSameImage(as: image) else {
                throw BackendError(
                    .noSuchFileOrDirectory,
                    """
                    \(options.spec) is another image than the one that was opened; expected that one to come back. Remove the \
                    LUN and add it again to serve the new image
                    """)
            }
            // What this client reads and writes must come after what barred its predecessor: OSDs get to know of the
            // blocklist with the first operation that carries the map's epoch.
            rados_wait_for_latest_osdmap(cluster.handle)
            if mustFence, cluster.instanceID != session.client { try session.fence(by: cluster) }
            let bytes = try image.size()
            guard bytes >= exportedSize else {
                throw BackendError(
                    .invalidArgument,
                    """
                    image \(options.spec) has \(bytes) bytes, fewer than the \(exportedSize) that initiators know; expected it \
                    to be resized to at least that
                    """)
            }
            notes = try told.compare(image, options, notes + image.openNotes)
            let isReadOnly = options.readOnly || options.snapshot != nil
            let role = isReadOnly ? MirrorRole.none : try image.mirrorRole()
            let isStandby = !role.allowsWriting
            number += 1
            let fresh = try ImageSession(image, options, relay.handlers(session: number))
            replace(by: fresh, isStandby: isStandby)
            for note in notes + fresh.takeNotes() { tell(.remark(.warning, note)) }
            noteSize(bytes)
            lookForSuccessor()
            return isStandby ? .standby : .fine
        } catch {
            remarkFailure(error)
            return .failed(error.errno.rawValue)
        }
    }

    private func replace(by fresh: ImageSession, isStandby: Bool) {
        let old = session
        session = fresh
        owner = nil
        question = nil
        onLoop { side in
            side.pointee.gaveBack(isWell: false)
            side.pointee.handle = fresh.handle
            side.pointee.use(fresh.writes)
            side.pointee.surveys = fresh.surveys
            side.pointee.access = fresh.hasLock || isStandby ? .reading : .writing
            side.pointee.readsNeedLock = fresh.readsNeedLock
            side.pointee.imageHas(fresh.size)
            side.pointee.generation.lose()
        }
        publish()
        // The loop has switched over. What is under way on the old image ends with it; that may take its time.
        let closer = OwnedThread(name: "tcmud-rbd-close") { old.close() }
        guard let closer else { return old.close() }
        // Bound: images that close while newer ones are lost already.
        if closers.count >= 8 { closers.removeFirst().join() }
        closers.append(closer)
    }

    /// At the end: an image with writes whose end is unknown must not give its lock back as if all was well. Its client
    /// bars itself from the cluster, which needs no OSD, and whoever wants the lock breaks it.
    ///
    /// - Returns: false where that cannot be had either: then the image must stay open, and the lock with it.
    func mayClose() -> Bool {
        guard session.hasLock, machine.isTainted || session.hasUncertainWrites else { return true }
        guard let cluster = session.cluster else { return true }
        do throws(BackendError) {
            try session.fence(by: cluster)
            return true
        } catch {
            tell(.remark(.error, "left open with its lock, since writes of it may be on their way: \(error)"))
            return false
        }
    }
}

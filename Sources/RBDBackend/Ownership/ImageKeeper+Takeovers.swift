/// Whether another gateway has the lock after this one. Initiators that set access states want to know (docs/alua.md), and a
/// client that was lost and replaced by itself says nothing about it.
extension ImageKeeper {
    /// A client that had the lock when it was lost.
    struct FormerOwner {
        let client: UInt64
        let addresses: [ClientAddress]
    }

    /// Takes in what the machine says about the lock.
    func follow(_ note: OwnershipNote) {
        switch note {
        case .gaveLock: countTakeover()
        case .lost(_, wasOwner: true):
            formerOwner = FormerOwner(client: session.client, addresses: session.addresses)
        case .tookLock: formerOwner = nil
        default: break
        }
    }

    /// The image is open again: whoever has fenced this gateway may have the lock by now.
    func lookForSuccessor() {
        guard formerOwner != nil, session.hasLock, case .success(.some(let found)) = session.lock.owner() else {
            return
        }
        noteFound(found)
    }

    /// The lock was looked at, and `found` has it.
    func noteFound(_ found: LockOwner) {
        guard let former = formerOwner, found.client != former.client, found.client != session.client else {
            return
        }
        // A client whose watch is over is known by its address alone.
        if let address = found.address, (former.addresses + session.addresses).contains(address) { return }
        countTakeover()
    }

    private func countTakeover() {
        formerOwner = nil
        onLoop { $0.pointee.takeovers &+= 1 }
    }
}

import RBDBackend

/// What must hold.
extension OwnershipModel {
    mutating func checkRules() {
        guard fault == nil else { return }
        let writers = gateways.filter { $0.gateIsOpen && !blocklisted.contains($0.client) }
        if writers.count > 1 { fault = "two gateways may write" }
        for gateway in gateways where gateway.gateIsOpen && !gateway.machine.isOwner {
            // Only between the machine's decision and the closing of the gate.
            if gateway.todo.isEmpty { fault = "a gate is open without the lock" }
        }
        for gateway in gateways where lock?.client == gateway.client && gateway.claimsEver == 0 {
            fault = "the lock was taken without a write"
        }
    }

    /// With nothing else going wrong: nil if a write through `index` gets through, else what comes in between.
    func obstacle(_ index: Int) -> String? {
        let none = "no way back to writing"
        var model = self
        for _ in 0..<400 {
            if let fault = model.fault { return fault }
            let gateway = model.gateways[index]
            if gateway.gateIsOpen && !model.blocklisted.contains(gateway.client) && gateway.todo.isEmpty
                && gateway.inbox.isEmpty
            {
                return nil
            }
            if !gateway.gateIsOpen && !gateway.hasClaimed { model.take(.write(index)) }
            // Round robin over what is not a fault, time last.
            let steps = model.steps(.none)
            let work = steps.filter {
                if case .act = $0 { true } else if case .carryOut = $0 { true } else { false }
            }
            if work.isEmpty {
                guard steps.contains(.tick) else { return none }
                model.take(.tick)
            }
            for step in work { model.take(step) }
        }
        return none
    }
}

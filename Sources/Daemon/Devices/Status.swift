internal import KernelFiles
internal import LogicalUnit
internal import Reactor

extension Device {
    /// What the device is and what it has done, in one line for people.
    func statusLine() async -> String {
        var line = "\(node.nodeName) \(label) (\(config)) \(life.state) \(openedBytes) bytes"
        guard let unit, let loop else { return line }
        guard let (counters, inFlight) = await loop.run(unit, { (unit.counters, unit.commandsInFlight) }) else {
            return line
        }
        line += " | \(counters.commands) commands, \(inFlight) in flight"
        line += " | read \(counters.reads) (\(counters.readBytes) bytes)"
        line += ", written \(counters.writes) (\(counters.writeBytes) bytes)"
        line += " | \(counters.checkConditions) check conditions, \(counters.busy) busy, \(counters.late) late"
        line += " | \(counters.doorbells) doorbells, \(recoveries) ring resets"
        return line
    }
}

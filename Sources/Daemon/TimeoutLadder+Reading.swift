internal import ConfigFS
internal import LogicalUnit

extension TimeoutLadder.Settings {
    /// The times of a unit as configfs shows them; what the kernel is too old to show is as it was then.
    ///
    /// - Throws: if a time is there but is no number.
    init(_ profile: UnitProfile, in backstore: Backstore) throws(ConfigFSError) {
        self.init()
        if let seconds = try backstore.commandTimeout() { command = seconds }
        if let seconds = try backstore.queueFullTimeout() { queueFull = seconds }
        late = profile.commandTimeout.map { Int(clamping: $0 / 1000) }
    }
}

extension DeviceOpening {
    /// The times of a unit, or a line about why they are not known. Never a reason not to serve it.
    func timeouts(of backstore: Backstore, _ profile: UnitProfile) -> (TimeoutLadder.Settings?, line: String?) {
        do throws(ConfigFSError) {
            return (try TimeoutLadder.Settings(profile, in: backstore), nil)
        } catch {
            return (nil, "whether its time-outs fit together is not known: \(error)")
        }
    }
}

extension OpenedDevice {
    /// The same device with a line about each time that is too long or too short.
    func saying(_ timeouts: (settings: TimeoutLadder.Settings?, line: String?)) -> Self {
        var device = self
        if let line = timeouts.line { device.remarks.append(line) }
        guard var settings = timeouts.settings else { return device }
        settings.operation = operationTimeoutSeconds
        device.notes += TimeoutLadder(settings).lines
        return device
    }
}

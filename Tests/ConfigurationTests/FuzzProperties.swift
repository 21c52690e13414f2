// What must hold for every configuration text: libFuzzer (Tests/Fuzz) and the replay of its corpus beside this file.
// The fuzzer compiles it into one module with the parsers.
#if !FUZZING
@testable import Configuration
#endif

/// The input is a device's configuration text; it need not be UTF-8. Parsing returns or throws, always, and what it
/// returns keeps its promises.
func checkConfiguration(_ input: UnsafeRawBufferPointer) {
    checkSettings(Array(input))
    let text = String(decoding: input, as: UTF8.self)
    let subtype = DeviceConfiguration.subtype(of: text)
    precondition(!subtype.utf8.contains(UInt8(ascii: "/")))
    guard let device = try? DeviceConfiguration(parsing: text) else { return }
    precondition(device.subtype.utf8.elementsEqual(subtype.utf8))
    precondition(device.commandTimeout.map { $0 > .zero } ?? true)

    // Initiators see the cleaned text: it must be a fixed point.
    guard let again = try? DeviceConfiguration(parsing: device.cleaned) else {
        preconditionFailure("the cleaned text cannot be parsed")
    }
    precondition(again.cleaned.utf8.elementsEqual(device.cleaned.utf8) && again.commandTimeout == nil)
    precondition(again.parameters.utf8.elementsEqual(device.parameters.utf8))

    if let file = try? FileConfiguration(parsing: device.parameters) {
        precondition(file.path.utf8.first == UInt8(ascii: "/") && !file.path.utf8.contains(UInt8(ascii: ";")))
        precondition(device.parameters.utf8.starts(with: file.path.utf8))
    }
    if let memory = try? MemoryConfiguration(parsing: device.parameters) { precondition(!memory.label.isEmpty) }
    if let image = try? RBDConfiguration(parsing: device.parameters) {
        let names = [image.pool, image.image, image.namespace ?? "-", image.snapshot ?? "-"]
        precondition(names.allSatisfy { !$0.isEmpty && !$0.utf8.contains(UInt8(ascii: "/")) })
        precondition(!image.image.utf8.contains(UInt8(ascii: "@")))
        precondition(image.ignoredOptions.allSatisfy { !$0.isEmpty && !$0.utf8.contains(UInt8(ascii: ";")) })
    }
}

/// The same input as the text of a LUN's file: it is read to the end or up to a line that is named, and what it says is
/// taken over or refused.
private func checkSettings(_ input: [UInt8]) {
    let text = SettingsText(parsing: input)
    let lines = input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).count
    if let problem = text.problem { precondition((1...lines).contains(problem.line)) }
    precondition(text.entries.allSatisfy { !$0.key.isEmpty && (1...lines).contains($0.line) })
    var settings = LUNSettings()
    if (try? settings.apply(text.entries)) != nil {
        precondition(settings.lockHoldMilliseconds.map { $0 <= LUNSettings.longestHold } ?? true)
        precondition(settings.encryption.map { $0.passphraseFile.utf8.first == UInt8(ascii: "/") } ?? true)
    }
}

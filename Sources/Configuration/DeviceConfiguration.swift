/// The text a device was configured with (`dev_config` in the kernel): `<subtype>/<backend's configuration>`.
///
/// At most 255 bytes in the kernel, without comma and line break, because configfs splits its `control` file there.
public struct DeviceConfiguration: Equatable, Sendable {
    /// Which backend the device wants: the text up to the first `/`, the whole text if there is none.
    public let subtype: String
    /// What the backend is given: all after the first `/`, without the daemon's own options; empty without a `/`.
    public let parameters: String
    /// How long a command may take before it counts as hung; nil is for ever.
    public let commandTimeout: Duration?
    /// The group of devices that may copy from and to one another by EXTENDED COPY; nil for a device that copies
    /// within itself alone.
    public let copyGroup: String?
    /// For how long, in microseconds, the daemon may watch for the device's next command before it sleeps (0 to 32);
    /// nil leaves that to the daemon.
    public let spinMicroseconds: UInt32?
    /// The whole text without the daemon's own options, as it goes into VPD page 83h: a descriptor that initiators
    /// of the original have seen must stay the same byte for byte.
    public let cleaned: String

    /// Parses a device's configuration text.
    ///
    /// Options for the daemon itself are `tcmur_cmd_time_out=N` (seconds; 0 is off), `copy_group=NAME` and `spin=N`
    /// (microseconds, 0 to 32). They are taken out where the original's users put the first: first, with a `;` on both sides
    /// (`rbd/;tcmur_cmd_time_out=20;pool/image`), at the end, and, other than in the original, before other options
    /// without gluing its neighbours together. Given more than once, the last one counts.
    ///
    /// - Throws: if the subtype is empty, a time-out is not a number, or the text holds a NUL
    ///   or an option that is called after a secret.
    public init(parsing text: String) throws(ConfigurationError) {
        guard !text.utf8.contains(0) else {
            throw ConfigurationError(field: "configuration", value: text, expected: "a text without NUL bytes")
        }
        subtype = Self.subtype(of: text)
        guard !subtype.isEmpty else {
            throw ConfigurationError(
                field: "configuration", value: text, expected: "<subtype>/<configuration>, as in rbd/pool/image")
        }
        // Before anything else, or another problem's message would repeat it.
        try SecretOption.refuse(in: text, fromPart: subtype == "rbd" ? 0 : 1)
        guard var rest = Substring(text).cut(atFirst: "/")?.after else {
            parameters = ""
            commandTimeout = nil
            copyGroup = nil
            spinMicroseconds = nil
            cleaned = text
            return
        }
        var timeout: UInt32 = 0
        var isInFront = false
        while let value = Self.take(";tcmur_cmd_time_out=", from: &rest, &isInFront) {
            timeout = try seconds(value, field: "tcmur_cmd_time_out")
        }
        var group: String?
        while let value = Self.take(";copy_group=", from: &rest, &isInFront) {
            guard !value.isEmpty else {
                throw ConfigurationError(field: "copy_group", value: "", expected: "the name of a group")
            }
            group = String(value)
        }
        copyGroup = group
        var spin: UInt32?
        while let value = Self.take(";spin=", from: &rest, &isInFront) {
            // Digits alone: a sign is accepted by Swift's own conversion.
            let isNumber = value.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            guard isNumber, let limit = UInt32(value), limit <= Self.longestSpin else {
                throw ConfigurationError(
                    field: "spin", value: String(value), expected: "0 to \(Self.longestSpin) microseconds")
            }
            spin = limit
        }
        spinMicroseconds = spin
        if isInFront, rest.utf8.first == UInt8(ascii: ";"), let cut = rest.cut(atFirst: ";") { rest = cut.after }
        parameters = String(rest)
        commandTimeout = timeout == 0 ? nil : .seconds(Int64(timeout))
        let identity = subtype == "rbd" ? RBDConfiguration.identity(of: parameters) : parameters
        cleaned = "\(subtype)/\(identity)"
    }

    /// What the device is called in files about it: subtype and names without any options, `rbd/pool/image`.
    public var identity: String {
        let text = Substring(subtype == "rbd" ? RBDConfiguration.withoutIdleSeparators(parameters) : parameters)
        return "\(subtype)/\(text.cut(atFirst: ";")?.before ?? text)"
    }

    /// Bytes of a configuration text that the kernel keeps (TCMU_CONFIG_LEN without its NUL); of a longer one it drops the end
    /// without a word.
    public static let longestText = 255

    /// Microseconds beyond which watching is not worth a CPU.
    public static let longestSpin: UInt32 = 32

    /// Cuts the first `;key=value` out of `rest`. Returns the value; nil where there is none.
    ///
    /// - Parameter isInFront: set where it stood in front of everything. A `;` is left there, by which another option is
    ///   found, and which does not belong to the backend's text.
    private static func take(
        _ key: StaticString, from rest: inout Substring, _ isInFront: inout Bool
    ) -> Substring? {
        guard let found = rest.firstOccurrence(of: key) else { return nil }
        let before = rest[..<found.lowerBound]
        let (value, after) = rest[found.upperBound...].cut(atFirst: ";") ?? (rest[found.upperBound...], "")
        if before.isEmpty { isInFront = true }
        // Where the user doubled the separator, no `;` is missing between the two.
        let isDoubled = !before.isEmpty && after.utf8.first == UInt8(ascii: ";")
        let glue = after.isEmpty || isDoubled ? "" : ";"
        rest = Substring(before + glue + after)
        return value
    }

    /// The subtype alone: who owns a device must be known even when the rest of its text is beyond parsing, because a
    /// device of another daemon has to be left alone.
    ///
    /// The original took the first handler whose name the text *starts with*; this is the exact name.
    public static func subtype(of text: String) -> String {
        String(Substring(text).cut(atFirst: "/")?.before ?? Substring(text))
    }
}

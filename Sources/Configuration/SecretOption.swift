/// Options that would put a secret where it must not be: initiators read the configuration string in VPD page 83h, and every
/// user of the machine in sysfs.
enum SecretOption {
    private static let keys: [StaticString] = [
        "passphrase", "password", "passwd", "secret", "key", "encryption-passphrase", "encryption_passphrase",
    ]

    static func isSecret(_ key: Substring) -> Bool { keys.contains { key.isExactly($0) } }

    /// Throws for the first such option with a value; the error has not the value.
    static func refuse(in text: String) throws(ConfigurationError) {
        for part in Substring(text).parts(separatedBy: ";") {
            guard let (key, value) = part.cut(atFirst: "="), !value.isEmpty, isSecret(key) else { continue }
            throw ConfigurationError(
                field: String(key), value: "…",
                expected: "no secret in the configuration string, which initiators can read; name a file in luns.d")
        }
    }
}

extension DeviceConfiguration {
    /// A configuration text for the log: the values of options that are called after secrets are left out.
    public static func withoutSecrets(_ text: String) -> String {
        Substring(text).parts(separatedBy: ";").map { part in
            guard let (key, value) = part.cut(atFirst: "="), !value.isEmpty, SecretOption.isSecret(key) else {
                return String(part)
            }
            return "\(key)=…"
        }.joined(separator: ";")
    }
}

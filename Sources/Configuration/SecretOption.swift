/// Options that would put a secret where it must not be: initiators read the configuration string in VPD page 83h, and every
/// user of the machine in sysfs.
enum SecretOption {
    /// Whether an option of that name is likely to hold a secret, however it is spelt.
    static func isSecret(_ key: Substring) -> Bool {
        let letters = key.utf8.filter { $0 != UInt8(ascii: " ") }.map { $0 | 0x20 }
        func holds(_ word: StaticString) -> Bool {
            let word = Array(word.description.utf8)
            guard letters.count >= word.count else { return false }
            return (0...(letters.count - word.count)).contains { letters[$0..<$0 + word.count].elementsEqual(word) }
        }
        // "passive" and its like are refused with the rest: nothing that is called so is an option.
        return holds("pass") || holds("pwd") || holds("secret") || holds("token") || holds("psk") || holds("cred")
            || letters.suffix(3).elementsEqual("key".utf8)
    }

    /// Throws for the first such option with a value; the error has not the value.
    ///
    /// - Parameter first: the first part, of those between semicolons, that may be an option: a file's name may hold `=`.
    static func refuse(in text: String, fromPart first: Int) throws(ConfigurationError) {
        for part in Substring(text).parts(separatedBy: ";").dropFirst(first) {
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

/// What this build is.
public enum BuildInformation {
    /// Version of the package, as in CHANGELOG.md.
    public static let version = "0.1.0"
}

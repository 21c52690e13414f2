/// What this build is.
public enum BuildInformation {
    /// Version of the package that is being worked on; CHANGELOG.md has it under "Unreleased" until it is released.
    public static let version = "0.1.0"
}

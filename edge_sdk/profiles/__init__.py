"""
Policies that come with the package, one TOML file per privacy policy; read by ``edge_sdk.policy_file``.
"""

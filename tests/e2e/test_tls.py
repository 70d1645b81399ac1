# SPDX-License-Identifier: LGPL-2.1-or-later
"""Delivery over TLS."""
import harness

if __name__ == "__main__":
    harness.main()

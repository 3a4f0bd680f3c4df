"""Readers of source code: parsed into trees and looked at, never imported, compiled to bytecode or run."""

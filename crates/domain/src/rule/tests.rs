//! Rule documents.

//! The macros that declare documents. The doc of the [module](super) shows how to use them.

/// The text of the doc comments among a list of attributes, each in brackets.
#[doc(hidden)]
#[macro_export]
macro_rules! doc_text {
    ($([$($attr:tt)*])*) => { concat!($($crate::doc_line!($($attr)*)),*) };
}
#[doc(hidden)]
#[macro_export]
macro_rules! doc_line {
    (doc = $text:literal) => {
        concat!($text, "\n")
    };
    ($($other:tt)*) => {
        ""
    };
}
#[doc(hidden)]
#[macro_export]
macro_rules! default_of {
    ($type:ty) => {
        None::<fn() -> $type>
    };
    ($type:ty, $default:expr) => {{
        fn default() -> $type {
            $default
        }
        Some(default as fn() -> $type)
    }};
}
/// The struct and its `Serialize`, which `shape!` and `view!` share.
#[doc(hidden)]
#[macro_export]
macro_rules! shape_struct {
    (
        $(#[$($attr:tt)*])*
        $vis:vis struct $name:ident {
            $($(#[$($field_attr:tt)*])* $json:literal $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$($attr)*])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $($(#[$($field_attr)*])* pub $field: $type,)*
        }

        impl $crate::shape::reexport::serde::Serialize for $name {
            fn serialize<S: $crate::shape::reexport::serde::Serializer>(
                &self,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                use $crate::shape::reexport::serde::ser::SerializeStruct as _;
                const NAMES: &[&str] = &[$($json),*];
                let mut object = to.serialize_struct(stringify!($name), NAMES.len())?;
                let _ = &mut object; // A document may have no fields.
                $(object.serialize_field($json, &self.$field)?;)*
                object.end()
            }
        }
    };
}

/// Declares a document that comes in (and may go out): the struct with its doc comments, its reader,
/// its schema and its `Serialize`. See the [module](crate::shape) for an example.
#[macro_export]
macro_rules! shape {
    (
        $(#[$($attr:tt)*])*
        $vis:vis struct $name:ident {
            $($(#[$($field_attr:tt)*])* $json:literal $field:ident: $type:ty $(= $default:expr)?),*
            $(,)?
        }
        $(check $check:expr;)?
    ) => {
        $crate::shape_struct! {
            $(#[$($attr)*])*
            $vis struct $name { $($(#[$($field_attr)*])* $json $field: $type,)* }
        }

        impl $crate::shape::Described for $name {
            fn schema(
                defs: &mut $crate::shape::Schemas,
            ) -> $crate::shape::reexport::serde_json::Value {
                defs.define::<Self>(stringify!($name), |defs| {
                    let _ = &defs; // A document may have no fields.
                    let object = $crate::shape::schema::ObjectSchema::new(
                        $crate::doc_text!($([$($attr)*])*),
                    );
                    $(let object = object.input(
                        defs,
                        $json,
                        $crate::doc_text!($([$($field_attr)*])*),
                        $crate::default_of!($type $(, $default)?),
                    );)*
                    object.finish()
                })
            }
        }

        impl $crate::shape::Shape for $name {
            fn read(
                value: &$crate::shape::reexport::serde_json::Value,
                at: &mut $crate::shape::Reader<'_>,
            ) -> Option<Self> {
                let mut object = at.object(value, &[$($json),*])?;
                let _ = &mut object; // A document may have no fields.
                $(let $field = object.field($json, $crate::default_of!($type $(, $default)?));)*
                let read = Self { $($field: $field?,)* };
                $(($check)(&read, at);)?
                Some(read)
            }
        }
    };
}

/// Declares a document that only goes out: as [`shape!`](crate::shape!) without a reader. All its fields are
/// always written, so all are required in its schema.
#[macro_export]
macro_rules! view {
    (
        $(#[$($attr:tt)*])*
        $vis:vis struct $name:ident {
            $($(#[$($field_attr:tt)*])* $json:literal $field:ident: $type:ty),* $(,)?
        }
    ) => {
        $crate::shape_struct! {
            $(#[$($attr)*])*
            $vis struct $name { $($(#[$($field_attr)*])* $json $field: $type,)* }
        }

        impl $crate::shape::Described for $name {
            fn schema(
                defs: &mut $crate::shape::Schemas,
            ) -> $crate::shape::reexport::serde_json::Value {
                defs.define_output::<Self>(stringify!($name), |defs| {
                    let _ = &defs; // A document may have no fields.
                    let object = $crate::shape::schema::ObjectSchema::new(
                        $crate::doc_text!($([$($attr)*])*),
                    );
                    $(let object = object.required(
                        $json,
                        $crate::doc_text!($([$($field_attr)*])*),
                        <$type as $crate::shape::Described>::schema(defs),
                    );)*
                    object.finish()
                })
            }
        }
    };
}

/// Declares an object with exactly one of several fields: an enum whose variants each hold what
/// stands under their field.
///
/// ```
/// domain::variant! {
///     /// What a step wants.
///     pub enum Goal {
///         /// So many events.
///         "count" Count(Whole<1, 1000>),
///         /// So much in total.
///         "sum" Sum(SumGoal),
///     }
/// }
/// ```
#[macro_export]
macro_rules! variant {
    (
        $(#[$($attr:tt)*])*
        $vis:vis enum $name:ident {
            $($(#[$($case_attr:tt)*])* $json:literal $case:ident($type:ty)),+ $(,)?
        }
    ) => {
        $(#[$($attr)*])*
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $name {
            $($(#[$($case_attr)*])* $case($type),)+
        }

        impl $crate::shape::reexport::serde::Serialize for $name {
            fn serialize<S: $crate::shape::reexport::serde::Serializer>(
                &self,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                use $crate::shape::reexport::serde::ser::SerializeMap as _;
                let mut object = to.serialize_map(Some(1))?;
                match self {
                    $(Self::$case(inner) => object.serialize_entry($json, inner)?,)+
                }
                object.end()
            }
        }

        impl $crate::shape::Described for $name {
            fn schema(
                defs: &mut $crate::shape::Schemas,
            ) -> $crate::shape::reexport::serde_json::Value {
                defs.define::<Self>(stringify!($name), |defs| {
                    let cases = [$(
                        $crate::shape::schema::ObjectSchema::new("").required(
                            $json,
                            $crate::doc_text!($([$($case_attr)*])*),
                            <$type as $crate::shape::Described>::schema(defs),
                        ).finish(),
                    )+];
                    $crate::shape::schema::described(
                        $crate::shape::schema::one_of(cases),
                        $crate::doc_text!($([$($attr)*])*),
                    )
                })
            }
        }

        impl $crate::shape::Shape for $name {
            fn read(
                value: &$crate::shape::reexport::serde_json::Value,
                at: &mut $crate::shape::Reader<'_>,
            ) -> Option<Self> {
                const NAMES: &[&str] = &[$($json),+];
                let mut object = at.object(value, NAMES)?;
                match object.exactly_one_of(NAMES)? {
                    $($json => object.required::<$type>($json).map(Self::$case),)+
                    _ => None,
                }
            }
        }
    };
}

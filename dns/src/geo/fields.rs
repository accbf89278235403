//! Fields of a record, each of whatever type it has: read in one pass, which takes a third less of all reading than to
//! ask for each by its path.
//!
//! Nothing that is not asked for can make a record unreadable: texts that are not UTF-8 are none, of keys that occur twice
//! the first holds. How deep a record goes is bounded by what is asked for, and how much it is by the library.

use std::fmt;
use std::marker::PhantomData;

use maxminddb::deserialize_any_with_raw_strings;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A field; of another type than expected it is another schema's, and as good as none.
#[derive(Debug, Default)]
pub(super) enum Field<'d, M = Nothing> {
    /// It is not there, or of a type that nothing is read of.
    #[default]
    Absent,
    Text(&'d str),
    Number(f64),
    Map(M),
}

/// What is read of a map.
pub(super) trait Fields<'d>: Default {
    /// Takes the value of a key, if it is one of these; whether it was.
    fn take<A: MapAccess<'d>>(&mut self, key: &[u8], map: &mut A) -> Result<bool, A::Error>;
}

/// Nothing is read of it.
#[derive(Debug, Default)]
pub(super) struct Nothing;

impl<'d> Fields<'d> for Nothing {
    fn take<A: MapAccess<'d>>(&mut self, _: &[u8], _: &mut A) -> Result<bool, A::Error> {
        Ok(false)
    }
}

impl<'d, M> Field<'d, M> {
    /// A text that is not empty.
    pub(super) fn text(&self) -> Option<&'d str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn map(&self) -> Option<&M> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Takes the next value of a map, unless one was taken before.
    pub(super) fn fill<A: MapAccess<'d>>(&mut self, map: &mut A) -> Result<bool, A::Error>
    where
        M: Fields<'d>,
    {
        match self {
            Self::Absent => *self = map.next_value()?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(true)
    }
}

impl<'d, M: Fields<'d>> Deserialize<'d> for Field<'d, M> {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        deserialize_any_with_raw_strings(from, Value(PhantomData))
    }
}

/// Bytes as they stand: of a key, or of a text.
struct Bytes<'d>(&'d [u8]);

impl<'d> Deserialize<'d> for Bytes<'d> {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_identifier(Plain)
    }
}

struct Plain;

impl<'d> Visitor<'d> for Plain {
    type Value = Bytes<'d>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'d [u8]) -> Result<Self::Value, E> {
        Ok(Bytes(bytes))
    }
}

struct Value<M>(PhantomData<M>);

impl<'d, M: Fields<'d>> Visitor<'d> for Value<M> {
    type Value = Field<'d, M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field of any type")
    }

    fn visit_newtype_struct<D: Deserializer<'d>>(self, text: D) -> Result<Self::Value, D::Error> {
        let Bytes(bytes) = text.deserialize_bytes(Plain)?;
        Ok(std::str::from_utf8(bytes).map_or(Field::Absent, Field::Text))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Field::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        // What matters of a greater one is that it is great.
        Ok(Field::Number(f64::from(u32::try_from(number).unwrap_or(u32::MAX))))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(i32::try_from(number).map_or(Field::Absent, |number| Field::Number(f64::from(number))))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Absent)
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = M::default();
        while let Some(Bytes(key)) = map.next_key()? {
            if !fields.take(key, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Field::Map(fields))
    }
}

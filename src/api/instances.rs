use super::Tag;
use super::body::{Out, Streamed, written};
use super::change::named;
use super::conditional::{Key, etag, idempotency};
use super::input::Json;
use super::instance_change::InstancePut;
use super::instance_json::{InstanceAnswer, InstanceJson, InstancesAnswer};
use super::login::Login;
use super::param::{Header, Id, Path, Query, Value};
use super::refusal::{Answer, Change, Declare, List, Read, Remove};
use super::rows::{Rows, Source, link_to_next};
use super::word::OneOf;
use super::{Created, Found, Limit, Listed, Removed};
use crate::domain::{
    Error, Instance, InstanceFilter, InstanceId, InstanceState, Labels, NewInstance, Order, Page,
    Result, labels_from,
};
use crate::http::BaseUrl;
use crate::service::{Actor, IfMatch, Service};
use poem::Body;
use poem::http::Uri;
use poem_openapi::OpenApi;
use poem_openapi::registry::MetaSchema;

/// The routes of instances.
pub struct Instances(pub Service);

#[OpenApi(prefix_path = "/wsexec", tag = "Tag::Instances")]
impl Instances {
    /// List instances
    ///
    /// Ascending by id, all of them where there is no `limit`. Every parameter narrows the list.
    #[oai(
        path = "/instances",
        method = "get",
        operation_id = "listInstances",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/instances\""
        )
    )]
    #[allow(
        clippy::too_many_arguments,
        reason = "the document is made from the arguments, one for each parameter"
    )]
    async fn list(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        uri: &Uri,
        /// At most so many.
        limit: Query<Limit>,
        /// Only ids above this one.
        after: Query<Id>,
        /// Only ids below this one.
        before: Query<Id>,
        /// By id, which way; `asc` unless given.
        order: Query<OneOf<Order>>,
        /// Only in this state.
        state: Query<OneOf<InstanceState>>,
        /// Only with exactly this tag.
        tag: Query<String>,
        /// Only with exactly this address.
        ip: Query<String>,
        /// Only with this label, `key=value`; several with a comma between them.
        label: Query<Label>,
        /// Only with this text in the address or tag, in either case.
        q: Query<String>,
    ) -> Answer<Listed<InstancesAnswer>, List> {
        let page = super::page(limit, after, before, order);
        let filter = InstanceFilter {
            state: state.0.map(|it| it.0),
            tag: tag.0,
            ip: ip.0,
            labels: label.0.map(|it| it.0).unwrap_or_default(),
            q: q.0,
        };
        let rows = InstanceRows {
            service: self.0.clone(),
            actor,
            filter,
        };
        let rows = Rows::open(rows, page).await?;
        let target = format!("{base}/wsexec/instances");
        let link = rows
            .more_after
            .map(|last| link_to_next(&target, uri, page.order, last));
        let body = written(|out| write_all(rows, base, out)).await?;
        Ok(Listed::Rows(Streamed::new(body), link))
    }

    /// Read an instance
    #[oai(
        path = "/instances/:id",
        method = "get",
        operation_id = "readInstance",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/instances/1\""
        )
    )]
    async fn read(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The id of the instance.
        id: Path<Id>,
    ) -> Answer<Found<InstanceAnswer>, Read> {
        let instance = self.0.instance(&actor, InstanceId(id.0.0)).await?;
        Ok(found(&instance, &base)?)
    }

    /// Declare an instance
    ///
    /// The same `Idempotency-Key` and body again give the instance as it now is.
    #[oai(
        path = "/instances",
        method = "post",
        operation_id = "declareInstance",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -H 'Content-Type: application/json' -d '{\"ip\":\"127.0.0.1\",\"tag\":\"localhost\"}' https://localhost:8443/wsexec/instances\"#"
        )
    )]
    async fn declare(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// 1 to 128 visible characters that stand for this request for 24 hours.
        #[oai(name = "Idempotency-Key")]
        key: Header<Key>,
        /// The instance.
        new: Json<NewInstance>,
    ) -> Answer<Created<InstanceAnswer>, Declare> {
        let key = idempotency(key, new.fingerprint);
        let instance = self.0.create_instance(&actor, new.value, key).await?;
        let location = format!("{base}/wsexec/instances/{}", instance.id);
        let body = Streamed::new(whole(&instance, &base)?);
        Ok(Created::Created(body, location, etag(instance.version)))
    }

    /// Change an instance
    ///
    /// What is left out stays as it is. A new `ip` or `port` is another machine: its host key,
    /// what was revoked, and its health start afresh.
    #[oai(
        path = "/instances/:id",
        method = "put",
        operation_id = "changeInstance",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -X PUT -H 'Content-Type: application/json' -d '{\"state\":\"DEACTIVATE\"}' https://localhost:8443/wsexec/instances/1\"#"
        )
    )]
    async fn change(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The id of the instance.
        id: Path<Id>,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
        /// The change.
        put: Json<InstancePut>,
    ) -> Answer<Found<InstanceAnswer>, Change> {
        let changed = self.put(&actor, &base, (id.0.0, put.value), if_match.0);
        Ok(found(&changed.await?, &base)?)
    }

    /// Change the instance that the body names
    ///
    /// As a PUT on the instance itself, with its `id` in the body.
    #[oai(
        path = "/instances",
        method = "put",
        operation_id = "changeNamedInstance",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -X PUT -H 'Content-Type: application/json' -d '{\"id\":1,\"tag\":\"localhost\"}' https://localhost:8443/wsexec/instances\"#"
        )
    )]
    async fn change_named(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
        /// The change.
        put: Json<InstancePut>,
    ) -> Answer<Found<InstanceAnswer>, Change> {
        let id = named(put.value.id)?;
        let changed = self.put(&actor, &base, (id, put.value), if_match.0);
        Ok(found(&changed.await?, &base)?)
    }

    /// Remove an instance
    ///
    /// Its tasks stay readable. Refused while one there has not ended, or other instances are
    /// reached through it.
    #[oai(
        path = "/instances/:id",
        method = "delete",
        operation_id = "removeInstance",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER -X DELETE https://localhost:8443/wsexec/instances/1\""
        )
    )]
    async fn remove(
        &self,
        Login(actor): Login,
        /// The id of the instance.
        id: Path<Id>,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
    ) -> Answer<Removed, Remove> {
        let id = InstanceId(id.0.0);
        self.0.remove_instance(&actor, id, if_match.0).await?;
        Ok(Removed::done())
    }
}

/// Labels that all have to be there.
pub struct Label(Labels);

impl Value for Label {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        labels_from(text.split(',')).map(Self)
    }
}

impl Instances {
    async fn put(
        &self,
        actor: &Actor,
        base: &str,
        (id, put): (i64, InstancePut),
        if_match: Option<IfMatch>,
    ) -> Result<Instance> {
        let instance = InstanceId(id);
        let present = match put.has_fixed() {
            true => Some(self.0.instance(actor, instance).await?),
            false => None,
        };
        let present = present.map(|instance| InstanceJson::new(&instance, base));
        let change = put.onto(id, present.as_ref())?;
        self.0
            .change_instance(actor, instance, change, if_match)
            .await
    }
}

struct InstanceRows {
    service: Service,
    actor: Actor,
    filter: InstanceFilter,
}

impl Source for InstanceRows {
    type Row = Instance;

    async fn batch(&self, page: Page) -> Result<Vec<Instance>> {
        self.service
            .instances(&self.actor, &self.filter, page)
            .await
    }

    fn id(instance: &Instance) -> i64 {
        instance.id.0
    }
}

fn found(instance: &Instance, base: &str) -> Result<Found<InstanceAnswer>> {
    let body = Streamed::new(whole(instance, base)?);
    Ok(Found::Found(body, etag(instance.version)))
}

fn whole(instance: &Instance, base: &str) -> Result<Body> {
    let answer = InstanceAnswer {
        instance: InstanceJson::new(instance, base),
    };
    let json = serde_json::to_string(&answer).map_err(Error::internal)?;
    Ok(Body::from(json + "\n"))
}

async fn write_all(mut rows: Rows<InstanceRows>, base: String, mut out: Out) -> Result<()> {
    out.text("{\"instances\":[").await?;
    let mut separator = "";
    while let Some(instance) = rows.next().await? {
        out.text(separator).await?;
        out.json(&InstanceJson::new(&instance, &base)).await?;
        separator = ",";
    }
    out.text("]}\n").await?;
    out.finish().await
}
